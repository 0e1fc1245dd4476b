"""The way in when no identity provider is: a platform admin's own password and second factor. Each use is an alert."""

import logging
from datetime import datetime, timedelta

from sqlalchemy import select

from app.auth.sessions import Person
from app.auth.tables import UserRow
from app.errors import NotAllowed
from app.extensions import after_commit, settings, transaction
from app.logging import audit, entries, metrics
from app.logging.entries import Entry, Wanted
from app.units import PLATFORM_ID

ACTION = "session.break_glass"
SHOWN_FOR = timedelta(days=30)
MOST_SHOWN = 5

log = logging.getLogger(__name__)


def admins() -> list[Person]:
    """List who can come in this way: admins by hand, since a mapping is the identity provider's word, with both factors."""
    ready = (
        UserRow.granted_platform_role == "admin",
        UserRow.disabled_at.is_(None),
        UserRow.password_hash.is_not(None),
        UserRow.totp_confirmed_at.is_not(None),
    )
    with transaction(PLATFORM_ID) as session:
        rows = session.scalars(select(UserRow).where(*ready).order_by(UserRow.email))
        return [Person(user_id=row.user_id, email=row.email, name=row.name, platform_role="admin") for row in rows]


def check_network(ip: str) -> None:
    """Raise `NotAllowed`, naming the address, unless it lies in BREAK_GLASS_NETWORKS."""
    allowed = settings().break_glass_networks
    if allowed and not allowed.hold(ip):
        raise NotAllowed(f"Local accounts may not sign in from your network. Your address is {ip}.")


def used(person: Person, *, ip: str) -> None:
    """Write down, in the transaction that begins the session, that somebody comes in this way; then raise the alarm."""
    reason = "single sign-on is required, and a local account was used"
    audit.record(ACTION, kind="person", id=person.user_id, name=person.email, reason=reason)
    about = {"account": person.email, "ip": ip, "request_id": audit.actor.get().request_id}
    after_commit("break glass", lambda: _alert(about))


def recent(*, now: datetime) -> list[Entry]:
    """List the latest uses of the last 30 days, newest first."""
    wanted = Wanted(action=ACTION, outcome="done", since=now - SHOWN_FOR)
    return entries.listed(PLATFORM_ID, wanted, after=None, limit=MOST_SHOWN)


def _alert(about: dict[str, str | None]) -> None:
    metrics.break_glass_sign_in()
    log.error("break-glass sign-in: a local account was used while single sign-on is required", extra=about)
