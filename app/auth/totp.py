"""The second factor: six digits that an app makes from a shared secret and the time (RFC 6238). A code is good once.

The secret is sealed. It counts once a code of it has been given, which shows that the app has it.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import pyotp
from pyotp.exceptions import OTPVerificationError
from sqlalchemy.orm import Session

from app.auth.tables import UserRow
from app.crypto import CannotOpen
from app.extensions import transaction, vault
from app.logging import audit
from app.units import PLATFORM_ID
from app.workspace.names import Invalid, NotFound

ISSUER = "LLM Gateway"
WINDOW = 1
"""Codes of the step before and after count too: clocks differ, and typing takes time. A step is 30 s."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A secret that waits for its first code; `address` holds it as apps read it from a QR code."""

    secret: str = field(repr=False)
    address: str = field(repr=False)


def begin(user_id: UUID) -> None:
    """Make a secret, in place of one that was not confirmed; raise `Invalid` when one was."""
    with transaction(PLATFORM_ID) as session:
        row = _row(session, user_id)
        if row.totp_confirmed_at:
            raise Invalid("code", "is asked for already: turn two-factor sign-in off first")
        row.totp_sealed, row.totp_last_step = vault().seal(pyotp.random_base32(), user_id.bytes), None
        _record("begin", row)


def pending(user_id: UUID) -> Enrolment | None:
    """Read the secret that waits for its first code; None when there is none."""
    with transaction(PLATFORM_ID) as session:
        row = _row(session, user_id)
        secret = None if row.totp_confirmed_at else _secret(row)
        if secret is None:
            return None
        address = pyotp.TOTP(secret).provisioning_uri(name=row.email, issuer_name=ISSUER)
        return Enrolment(secret=secret, address=address)


def confirm(user_id: UUID, code: str, *, now: datetime) -> bool:
    """Have the waiting secret count from now on if a code is right; tell whether it was."""
    with transaction(PLATFORM_ID) as session:
        row = _row(session, user_id)
        if row.totp_confirmed_at or not _use(row, code, now):
            return False
        row.totp_confirmed_at = now
        _record("confirm", row)
        return True


def accept(user_id: UUID, code: str, *, now: datetime) -> bool:
    """Tell whether a code is right, and use it up: it, and every earlier one, is refused from then on."""
    with transaction(PLATFORM_ID) as session:
        row = _row(session, user_id)
        return row.totp_confirmed_at is not None and _use(row, code, now)


def turn_off(user_id: UUID) -> bool:
    """Forget the secret; tell whether there was one."""
    with transaction(PLATFORM_ID) as session:
        row = _row(session, user_id)
        had_one = row.totp_sealed is not None
        row.totp_sealed = row.totp_confirmed_at = row.totp_last_step = None
        if had_one:
            _record("delete", row)
        return had_one


def _use(row: UserRow, code: str, now: datetime) -> bool:
    secret, typed = _secret(row), code.replace(" ", "")
    if secret is None or not (typed.isascii() and typed.isdigit()):
        return False
    try:
        step = pyotp.TOTP(secret).verify_and_get_timecode(typed, for_time=now, valid_window=WINDOW)
    except OTPVerificationError:
        return False
    if row.totp_last_step is not None and step <= row.totp_last_step:
        return False
    row.totp_last_step = step
    return True


def _secret(row: UserRow) -> str | None:
    """Open the secret; None without one, and when it was sealed with a SECRET_KEY that is not given."""
    try:
        return vault().open(row.totp_sealed, row.user_id.bytes) if row.totp_sealed else None
    except CannotOpen:
        log.error("a two-factor secret cannot be opened: reset it", extra={"account": str(row.user_id)})  # noqa: TRY400
        return None


def _row(session: Session, user_id: UUID) -> UserRow:
    """Read an account for change: of two who give the same code at once, the second waits and finds it used."""
    row = session.get(UserRow, user_id, populate_existing=True, with_for_update={"key_share": True})
    if row is None:
        raise NotFound(f"there is no account {user_id}")
    return row


def _record(verb: str, row: UserRow) -> None:
    audit.record(f"two_factor.{verb}", kind="person", id=row.user_id, name=row.email)
