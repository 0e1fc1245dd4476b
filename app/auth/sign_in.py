"""Signing in with a password, and out again. What cannot be right takes as long as what can."""

from datetime import datetime
from uuid import UUID

from app.auth import passwords, sessions, throttle, users
from app.auth.users import Account
from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID
from app.workspace import invitations


class Wrong(Exception):
    """The address or the password is wrong. Which of them is nobody's business."""


def with_password(email: str, password: str, *, ip: str, user_agent: str, now: datetime) -> str:
    """Check a password and begin a session; give its cookie's value. Raise `Wrong`, or `throttle.Wait`."""
    address = invitations.normal_email(email)[: invitations.LONGEST_EMAIL]
    attempt_id = throttle.begin(address, ip, now=now)
    account = users.to_sign_in(address)
    # No connection is held while the password is hashed.
    right = passwords.matches(account.password_hash if account else None, password)
    if account is None or not right:
        _note_failure(address, account)
        raise Wrong
    stored = account.password_hash or ""
    rehashed = passwords.hash_of(password) if passwords.is_dated(stored) else None
    with transaction(PLATFORM_ID):
        throttle.succeeded(attempt_id)
        if rehashed:
            users.set_password_hash(account.person.user_id, rehashed)
        return begin(account.person, ip=ip, user_agent=user_agent, now=now)


def begin(person: sessions.Person, *, ip: str, user_agent: str, now: datetime) -> str:
    """Begin a session of somebody who has shown who he is; give its cookie's value."""
    audit.known_as(kind="person", id=str(person.user_id), name=person.email)
    with transaction(PLATFORM_ID):
        audit.record("session.create", kind="person", id=person.user_id, name=person.email)
        return sessions.start(person.user_id, ip=ip, user_agent=user_agent, now=now)


def out(token: str, person: sessions.Person) -> None:
    """End a session."""
    with transaction(PLATFORM_ID):
        sessions.end(token)
        audit.record("session.delete", kind="person", id=person.user_id, name=person.email)


def _note_failure(address: str, account: Account | None) -> None:
    """Write the failure down. What is no e-mail address is left out: it may be a password in the wrong field."""
    user_id: UUID | str = account.person.user_id if account else ""
    shown = address if invitations.EMAIL.fullmatch(address) else ""
    reason = "the e-mail or the password was wrong"
    audit.refused(PLATFORM_ID, "session.create", kind="person", id=user_id, name=shown, reason=reason)
