"""How often one may try to sign in. The tries are in PostgreSQL, so every process counts the same ones.

After some failures each further try has to wait, longer each time and never longer than `LONGEST_WAIT`.
Nobody is locked out for good: who has signed in from his network before is there measured by his own
failures alone, so tries from elsewhere at his address do not keep him out.
"""

import ipaddress
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.auth.tables import AttemptRow
from app.extensions import transaction, vault
from app.units import PLATFORM_ID, new_id

FREE_PER_ADDRESS = 5
FREE_PER_NETWORK = 20
"""An office shares one address of the internet."""
FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=15)
REMEMBERED = timedelta(hours=24)
REMEMBERED_OF_NETWORK = timedelta(hours=1)
KEPT = timedelta(days=30)


class Wait(Exception):
    """Too many failures: the next try is looked at from `until` on."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"wait until {until:%H:%M:%S}")
        self.until = until


def begin(email: str, ip: str, *, now: datetime, what: str = "address") -> UUID:
    """Note a try before it is looked at, so that a hundred at once are counted; raise `Wait` when it comes too early.

    `what` is tried: a password at an address, or a code, whose tries are counted apart, so that who knows the
    password cannot begin to count anew by giving it again.
    """
    address, network = vault().sign(b"sign-in " + what.encode(), email.encode()), network_of(ip)
    with transaction(PLATFORM_ID) as session:
        _lock(session, address)
        _lock(session, vault().sign(b"sign-in network", network.encode()))
        until = max(_end_of_wait(session, address, network, now=now), _end_of_networks_wait(session, network, now=now))
        if until > now:
            raise Wait(until)
        session.execute(sql.delete(AttemptRow).where(AttemptRow.at < now - KEPT))
        row = AttemptRow(attempt_id=new_id(), address_hash=address, ip=network, at=now)
        session.add(row)
        return row.attempt_id


def succeeded(attempt_id: UUID) -> None:
    """Note that a try was right: the failures before it count no more."""
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.update(AttemptRow).where(AttemptRow.attempt_id == attempt_id).values(succeeded=True))


def network_of(ip: str) -> str:
    """Name what one attacker has: an IPv4 address, or a /64 of IPv6, of which every home has one."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def _end_of_wait(session: Session, address: bytes, network: str, *, now: datetime) -> datetime:
    """Find when the address may be tried next: from here, when it has been signed in from here, else from anywhere."""
    here: ColumnElement[bool] = (AttemptRow.address_hash == address) & (AttemptRow.ip == network)
    success = select(func.max(AttemptRow.at)).where(AttemptRow.succeeded)
    counted, last = here, session.scalar(success.where(here))
    if last is None:
        counted = AttemptRow.address_hash == address
        last = session.scalar(success.where(counted))
    since = max(now - REMEMBERED, last) if last else now - REMEMBERED
    return _end(session, counted, since, FREE_PER_ADDRESS)


def _end_of_networks_wait(session: Session, network: str, *, now: datetime) -> datetime:
    """A success resets nothing here: it may be the attacker's own account."""
    return _end(session, AttemptRow.ip == network, now - REMEMBERED_OF_NETWORK, FREE_PER_NETWORK)


def _end(session: Session, counted: ColumnElement[bool], since: datetime, free: int) -> datetime:
    failures = (counted, AttemptRow.succeeded.is_(False), AttemptRow.at > since)
    count, last = session.execute(select(func.count(), func.max(AttemptRow.at)).where(*failures)).one()
    if count < free or last is None:
        return since
    doubled: timedelta = FIRST_WAIT * 2 ** min(count - free, 16)
    end: datetime = last + min(doubled, LONGEST_WAIT)
    return end


def _lock(session: Session, digest: bytes) -> None:
    session.execute(select(func.pg_advisory_xact_lock(int.from_bytes(digest[:8], signed=True))))
