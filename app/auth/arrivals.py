"""People who come from an identity provider: found by their identity, made where the provider may make accounts.

An e-mail address links nobody to an account that is there: whoever has it could have been given it by anybody.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.auth import mappings, scim_users, users
from app.auth.directory_tables import IdentityRow
from app.auth.id_tokens import Refused, Token
from app.auth.identity_providers import IdentityProvider
from app.auth.sessions import Person
from app.auth.tables import UserRow
from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID
from app.workspace import invitations, names
from app.workspace.names import Invalid


class AddressTaken(Exception):
    """Somebody new has the address of an account that is there and that only its owner can link to him."""

    def __init__(self, email: str) -> None:
        super().__init__(f"{email} has an account")
        self.email = email


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a sign-in would do. `refused` says why it would let nobody in."""

    person: Person | None
    is_new: bool
    refused: str | None
    roles: dict[UUID, str]


class _Undone(Exception):
    """What was tried is taken back."""


def arrive(provider: IdentityProvider, token: Token, *, now: datetime, is_invited: bool = False) -> Person:
    """Find or make the account of whom a token is about, and give him the roles that mappings give.

    `is_invited`: he holds the link of an invitation to his address, for which an account may always be made.
    Raise `Refused`, or `AddressTaken`.
    """
    with transaction(PLATFORM_ID) as session:
        _wait_for_twin(session, token)
        row = _identity(session, token)
        if row is None:
            account = _provisioned(provider, token)
            row = _link(session, provider, token, account or _new_account(provider, token, is_invited=is_invited))
        _check_enabled(session, row.user_id)
        _note(row, provider, token, now)
        session.flush()
        mappings.seen(token.tenant, token.subject, app_roles=token.app_roles, groups=token.groups or ())
        mappings.sync(row.user_id)
        return _person(session, row.user_id)


def link(provider: IdentityProvider, token: Token, person: Person, *, now: datetime) -> None:
    """Let somebody who is signed in come by this identity from now on. Raise `Refused` when it is another's."""
    with transaction(PLATFORM_ID) as session:
        _wait_for_twin(session, token)
        row = _identity(session, token) or _link(session, provider, token, person.user_id)
        if row.user_id != person.user_id:
            raise Refused(_who(provider), "belongs to another account of the gateway")
        _check_enabled(session, row.user_id)
        _note(row, provider, token, now)
        session.flush()
        mappings.seen(token.tenant, token.subject, app_roles=token.app_roles, groups=token.groups or ())
        mappings.sync(row.user_id)


def outlook(provider: IdentityProvider, token: Token, *, now: datetime) -> Outlook:
    """Tell what `arrive` would do, by doing it and taking it back."""
    with transaction(PLATFORM_ID) as session:
        is_known = _identity(session, token) is not None or _provisioned(provider, token) is not None
    roles = mappings.roles_for(provider.provider_id, app_roles=token.app_roles, groups=token.groups or ())
    person: Person | None = None
    refused: str | None = None
    try:
        with _undoing():
            person = arrive(provider, token, now=now)
    except (Refused, AddressTaken) as error:
        refused = str(error)
    return Outlook(person=person, is_new=not is_known, refused=refused, roles=roles)


@contextmanager
def _undoing() -> Iterator[None]:
    """Take back what the block does."""
    with suppress(_Undone), transaction(PLATFORM_ID):
        yield
        raise _Undone


def _identity(session: Session, token: Token) -> IdentityRow | None:
    return session.get(IdentityRow, (token.tenant, token.subject), populate_existing=True)


def _provisioned(provider: IdentityProvider, token: Token) -> UUID | None:
    """Find the account that the provider's provisioning has made for this very person, whom it names by his id."""
    return scim_users.account_of(provider.provider_id, token.subject)


def _new_account(provider: IdentityProvider, token: Token, *, is_invited: bool) -> UUID:
    """Make an account where the provider may make one. It has no password."""
    if not is_invited:
        _check_may_be_made(provider, token)
    email = _address(token)
    if users.exists(email):
        raise AddressTaken(email)
    return users.create(email, _name(token), None)


def _check_may_be_made(provider: IdentityProvider, token: Token) -> None:
    accounts = provider.registration.accounts
    if accounts == "off":
        raise Refused(_who(provider), "has no account here, and accounts are not made by signing in")
    given = mappings.roles_for(provider.provider_id, app_roles=token.app_roles, groups=token.groups or ())
    if accounts == "mapped" and not given:
        raise Refused("roles", "and groups give no role here: no mapping is about them")


def _link(session: Session, provider: IdentityProvider, token: Token, user_id: UUID) -> IdentityRow:
    row = IdentityRow(tenant=token.tenant, subject=token.subject, provider_id=provider.provider_id, user_id=user_id)
    session.add(row)
    session.flush()
    after = {"provider": provider.name, "tenant": token.tenant, "user_id": user_id}
    audit.record("identity.create", kind="identity", id=token.subject, name=token.email or token.subject, after=after)
    return row


def _note(row: IdentityRow, provider: IdentityProvider, token: Token, now: datetime) -> None:
    """Keep what the provider says of somebody, which is shown and decides nothing."""
    row.provider_id, row.email, row.name, row.last_sign_in_at = provider.provider_id, token.email, token.name, now


def _check_enabled(session: Session, user_id: UUID) -> None:
    account = session.get(UserRow, user_id, populate_existing=True)
    if account is None or account.disabled_at:
        raise Refused("account", "is disabled")


def _person(session: Session, user_id: UUID) -> Person:
    session.expire_all()
    return users.of([user_id])[user_id]


def _address(token: Token) -> str:
    """Find the address of a new account. Nobody is kept out for having none, so one that reaches nobody will do."""
    try:
        return invitations.check_email(token.email or "")
    except Invalid:
        digest = hashlib.sha256(f"{token.tenant} {token.subject}".encode()).hexdigest()
        return f"{digest[:32]}@no-address.invalid"


def _name(token: Token) -> str:
    """Find a name that may be stored."""
    for name in (token.name or "", (token.name or "").lstrip("=+-@ "), token.email or "", token.subject):
        try:
            return names.check("name", name)
        except Invalid:
            continue
    return "Unnamed"


def _who(provider: IdentityProvider) -> str:
    """The claim that says who somebody is."""
    return "oid" if provider.registration.kind == "entra" else "sub"


def _wait_for_twin(session: Session, token: Token) -> None:
    """Let two sign-ins of one new person, begun in two tabs, make one account."""
    digest = hashlib.sha256(f"identity {token.tenant} {token.subject}".encode()).digest()
    session.execute(select(func.pg_advisory_xact_lock(int.from_bytes(digest[:8], signed=True))))
