"""Signing in with a password and, where it is set up, a code; and out again.

What cannot be right takes as long as what can. While single sign-on is required, only a break-glass
admin gets in here, and not silently.
"""

from datetime import datetime
from uuid import UUID

from app.auth import break_glass, passwords, policy, second_step, sessions, throttle, totp, users
from app.auth.users import Account
from app.errors import NotAllowed
from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID
from app.workspace import invitations

WRONG = "the e-mail or the password was wrong"
WRONG_CODE = "the code was wrong, or used before"
SSO_ONLY = "Single sign-on is required. Sign in with your identity provider."


class Wrong(Exception):
    """The address, the password or the code is wrong. Which of the first two is nobody's business."""


class Expired(Exception):
    """The first step was too long ago, or counts no more."""


class CodeNeeded(Exception):
    """The password is right. `ticket` is for the form that asks for the code."""

    def __init__(self, ticket: str) -> None:
        super().__init__("the code is missing")
        self.ticket = ticket


def with_password(email: str, password: str, *, ip: str, user_agent: str, now: datetime) -> str:
    """Check a password and begin a session; give its cookie's value.

    Raise `Wrong`, `throttle.Wait`, `CodeNeeded`; `NotAllowed` for whom single sign-on is required.
    """
    address = invitations.normal_email(email)[: invitations.LONGEST_EMAIL]
    if policy.requires_sso():
        break_glass.check_network(ip)
    attempt_id = throttle.begin(address, ip, now=now)
    account = users.to_sign_in(address)
    # No connection is held while the password is hashed.
    right = passwords.matches(account.password_hash if account else None, password)
    if account is None or not right:
        _note_failure(address, account, WRONG)
        raise Wrong
    _check_may_come(account)
    stored = account.password_hash or ""
    rehashed = passwords.hash_of(password) if passwords.is_dated(stored) else None
    with transaction(PLATFORM_ID):
        throttle.succeeded(attempt_id)
        if rehashed:
            users.set_password_hash(account.person.user_id, rehashed)
        if not account.has_second_factor:
            return _come_in(account, ip=ip, user_agent=user_agent, now=now)
    raise CodeNeeded(second_step.seal(address, rehashed or stored, now=now))


def with_code(ticket: str, code: str, *, ip: str, user_agent: str, now: datetime) -> str:
    """Check the code after the password; give the new session's cookie value.

    Raise `Wrong`, `Expired`, `throttle.Wait`; `NotAllowed` for whom single sign-on is required.
    """
    step = second_step.opened(ticket, now=now)
    if step is None:
        raise Expired
    if policy.requires_sso():
        break_glass.check_network(ip)
    attempt_id = throttle.begin(step.email, ip, now=now, what="code")
    account = users.to_sign_in(step.email)
    if account is None or not step.is_of(account):
        raise Expired
    _check_may_come(account)
    with transaction(PLATFORM_ID):
        if totp.accept(account.person.user_id, code, now=now):
            throttle.succeeded(attempt_id)
            return _come_in(account, ip=ip, user_agent=user_agent, now=now)
    _note_failure(step.email, account, WRONG_CODE)
    raise Wrong


def begin(  # noqa: PLR0913 - a session is all of this
    person: sessions.Person,
    *,
    ip: str,
    user_agent: str,
    now: datetime,
    method: str = "password",
    provider_id: UUID | None = None,
    sid: str | None = None,
) -> str:
    """Begin a session of somebody who has shown who he is; give its cookie's value. See `sessions.start`."""
    audit.known_as(kind="person", id=str(person.user_id), name=person.email)
    how = {"method": method} | ({"provider": str(provider_id)} if provider_id else {})
    with transaction(PLATFORM_ID):
        audit.record("session.create", kind="person", id=person.user_id, name=person.email, after=how)
        return sessions.start(
            person.user_id, ip=ip, user_agent=user_agent, now=now, method=method, provider_id=provider_id, sid=sid
        )


def out(token: str, person: sessions.Person) -> None:
    """End a session."""
    with transaction(PLATFORM_ID):
        sessions.end(token)
        audit.record("session.delete", kind="person", id=person.user_id, name=person.email)


def _check_may_come(account: Account) -> None:
    """Refuse whom single sign-on is required for. Only who knows the password learns that it was right."""
    if policy.requires_sso() and not _may_break_the_glass(account):
        _note_failure(account.person.email, account, "single sign-on is required")
        raise NotAllowed(SSO_ONLY)


def _may_break_the_glass(account: Account) -> bool:
    return account.is_admin_by_hand and account.has_second_factor


def _come_in(account: Account, *, ip: str, user_agent: str, now: datetime) -> str:
    """Begin the session, in the running transaction, if the policy has not changed on the way to it."""
    required = policy.requires_sso(lock=True)
    if required and not _may_break_the_glass(account):
        raise NotAllowed(SSO_ONLY)
    token = begin(account.person, ip=ip, user_agent=user_agent, now=now)
    if required:
        break_glass.used(account.person, ip=ip)
    return token


def _note_failure(address: str, account: Account | None, reason: str) -> None:
    """Write the failure down. What is no e-mail address is left out: it may be a password in the wrong field."""
    user_id: UUID | str = account.person.user_id if account else ""
    shown = address if invitations.EMAIL.fullmatch(address) else ""
    audit.refused(PLATFORM_ID, "session.create", kind="person", id=user_id, name=shown, reason=reason)
