"""What a person changes about how he signs in. Each change asks for the password again: a browser may be left open."""

from datetime import datetime

from app.auth import passwords, policy, sessions, throttle, totp, users
from app.auth.sessions import Person
from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID
from app.workspace.names import Invalid


def change_password(person: Person, current: str, new: str, *, session_token: str, ip: str, now: datetime) -> int:  # noqa: PLR0913
    """Set another password and end the person's other sessions; tell how many ended.

    Raise `Invalid` for a field, `throttle.Wait`.
    """
    try:
        passwords.check(new)
    except Invalid as refused:
        raise Invalid("new_password", refused.problem) from refused
    _prove(person, current, ip=ip, now=now)
    hashed = passwords.hash_of(new)
    with transaction(PLATFORM_ID):
        users.set_password_hash(person.user_id, hashed)
        audit.record("password.update", kind="person", id=person.user_id, name=person.email)
        return sessions.end_others_of(person.user_id, session_token, name=person.email)


def begin_two_factor(person: Person, password: str, *, ip: str, now: datetime) -> None:
    """Make a second factor that waits for its first code; raise `Invalid` or `throttle.Wait`."""
    _prove(person, password, ip=ip, now=now)
    totp.begin(person.user_id)


def confirm_two_factor(person: Person, code: str, *, ip: str, now: datetime) -> None:
    """Have the second factor count from now on; raise `Invalid` or `throttle.Wait`."""
    attempt_id = throttle.begin(person.email, ip, now=now, what="code")
    with transaction(PLATFORM_ID):
        if not totp.confirm(person.user_id, code, now=now):
            raise Invalid("code", "is wrong. Codes change every 30 seconds; is the clock of your device right?")
        throttle.succeeded(attempt_id)


def turn_off_two_factor(person: Person, password: str, code: str, *, ip: str, now: datetime) -> None:
    """Let the password alone open the account; raise `Invalid` or `throttle.Wait`."""
    _prove(person, password, ip=ip, now=now)
    attempt_id = throttle.begin(person.email, ip, now=now, what="code")
    with transaction(PLATFORM_ID):
        policy.check_a_way_in_stays(person.user_id)
        if not totp.accept(person.user_id, code, now=now):
            raise Invalid("code", "is wrong, or was used before: wait for the next one")
        totp.turn_off(person.user_id)
        throttle.succeeded(attempt_id)


def _prove(person: Person, password: str, *, ip: str, now: datetime) -> None:
    """Check the password as when signing in: slowly, and not too often."""
    account = users.to_sign_in(person.email)
    if account is None or account.password_hash is None:
        raise Invalid("password", "does not exist: this account signs in with an identity provider")
    attempt_id = throttle.begin(person.email, ip, now=now)
    if not passwords.matches(account.password_hash, password):
        raise Invalid("password", "is wrong")
    throttle.succeeded(attempt_id)
