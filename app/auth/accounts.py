"""Every account of the installation, for the platform's admins: who there is, how they sign in, whether they may."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.auth import deactivation, sessions
from app.auth.directory_tables import IdentityProviderRow, IdentityRow
from app.auth.sessions import Person, Presence
from app.auth.tables import UserRow
from app.extensions import transaction
from app.units import PLATFORM_ID
from app.workspace import pages
from app.workspace.names import Invalid, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who somebody is at an identity provider."""

    provider_id: UUID
    provider: str
    tenant: str
    subject: str
    email: str | None
    last_sign_in_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person and his ways in. `presence` is None for who is not signed in."""

    person: Person
    has_password: bool
    two_factor_since: datetime | None
    identities: list[Identity]
    presence: Presence | None
    created_at: datetime
    disabled_at: datetime | None


def page(*, search: str = "", after: str | None = None, now: datetime) -> pages.Page[Account]:
    """List accounts by e-mail, those whose name or e-mail holds a text, after the e-mail `after`."""
    statement = select(UserRow)
    if search:
        holds = UserRow.email.icontains(search, autoescape=True) | UserRow.name.icontains(search, autoescape=True)
        statement = statement.where(holds)
    statement = pages.by_name(statement, UserRow.email, search="", after=after)
    with transaction(PLATFORM_ID) as session:
        rows = session.scalars(statement).all()
        return pages.cut(_values(session, rows, now), lambda one: one.person.email)


def get(user_id: UUID, *, now: datetime) -> Account:
    """Read one account; raise `NotFound`."""
    with transaction(PLATFORM_ID) as session:
        row = session.get(UserRow, user_id)
        if row is None:
            raise NotFound(f"there is no account {user_id}")
        return _values(session, [row], now)[0]


def disable(user_id: UUID, *, by: UUID) -> None:
    """Close an account: see `deactivation`. Raise `Invalid` for the own one, and for one that has to stay."""
    if user_id == by:
        raise Invalid("account", "is your own: another admin has to disable it")
    deactivation.deactivate(user_id)


def enable(user_id: UUID) -> None:
    """Open an account again: see `deactivation`."""
    deactivation.reactivate(user_id)


def end_sessions(user_id: UUID) -> int:
    """Sign somebody out everywhere; tell how many sessions ended. Raise `NotFound`."""
    with transaction(PLATFORM_ID) as session:
        row = session.get(UserRow, user_id)
        if row is None:
            raise NotFound(f"there is no account {user_id}")
        return sessions.sign_out(user_id, name=row.email)


def _values(session: Session, rows: Collection[UserRow], now: datetime) -> list[Account]:
    user_ids = [row.user_id for row in rows]
    identities, present = _identities(session, user_ids), sessions.presences(user_ids, now=now)
    return [
        Account(
            person=Person(user_id=row.user_id, email=row.email, name=row.name, platform_role=row.platform_role),
            has_password=row.password_hash is not None,
            two_factor_since=row.totp_confirmed_at,
            identities=identities.get(row.user_id, []),
            presence=present.get(row.user_id),
            created_at=row.created_at,
            disabled_at=row.disabled_at,
        )
        for row in rows
    ]


def _identities(session: Session, user_ids: Collection[UUID]) -> dict[UUID, list[Identity]]:
    statement = (
        select(IdentityRow, IdentityProviderRow.name)
        .join(IdentityProviderRow, IdentityProviderRow.provider_id == IdentityRow.provider_id)
        .where(IdentityRow.user_id.in_(user_ids))
        .order_by(IdentityProviderRow.name, IdentityRow.subject)
    )
    found: dict[UUID, list[Identity]] = {}
    for row, provider in session.execute(statement):
        fields = {name: getattr(row, name) for name in ("provider_id", "tenant", "subject", "email", "last_sign_in_at")}
        found.setdefault(row.user_id, []).append(Identity(provider=provider, **fields))
    return found
