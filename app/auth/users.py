"""Accounts: people by their e-mail address, whose letter case does not matter."""

from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.auth import passwords
from app.auth.sessions import Person
from app.auth.tables import UserRow
from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID, new_id
from app.workspace import invitations, names
from app.workspace.names import Invalid

MOST_FOUND = 500


@dataclass(frozen=True, slots=True)
class Account:
    """A person with what his password is checked against. None: no password opens it.

    `is_admin_by_hand` leaves out whom a mapping makes the platform's admin.
    """

    person: Person
    password_hash: str | None = field(repr=False)
    has_second_factor: bool
    is_admin_by_hand: bool


def ensure_admin(email: str, password: str) -> bool:
    """Make the platform admin unless the e-mail has an account; tell whether it was made.

    The password of an account that is there stays as it is: it may have been changed by its owner.
    """
    with transaction(PLATFORM_ID):
        if exists(email):
            return False
        _add(email, "Administrator", passwords.hash_of(password), platform_role="admin")
        return True


def create(email: str, name: str, password_hash: str | None) -> UUID:
    """Make an account without any role; raise `Invalid` for a bad name or a taken address.

    The hash is made before: hashing takes long, and no transaction is held meanwhile.
    """
    names.check("name", name)
    return _add(email, name, password_hash)


def exists(email: str) -> bool:
    """Tell whether the e-mail has an account."""
    return id_of(email) is not None


def id_of(email: str) -> UUID | None:
    """Find the account of an e-mail address."""
    with transaction(PLATFORM_ID) as session:
        found = select(UserRow.user_id).where(UserRow.email == invitations.normal_email(email))
        return session.scalars(found).first()


def to_sign_in(email: str) -> Account | None:
    """Find an account that may sign in; None when there is none, or it is disabled."""
    mine = (UserRow.email == invitations.normal_email(email), UserRow.disabled_at.is_(None))
    with transaction(PLATFORM_ID) as session:
        row = session.scalars(select(UserRow).where(*mine)).first()
        return _account(row) if row else None


def set_password_hash(user_id: UUID, password_hash: str) -> None:
    """Store the password anew, hashed with today's parameters."""
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.update(UserRow).where(UserRow.user_id == user_id).values(password_hash=password_hash))


def of(user_ids: Collection[UUID]) -> dict[UUID, Person]:
    """Read the people of these accounts."""
    if not user_ids:
        return {}
    with transaction(PLATFORM_ID) as session:
        rows = session.scalars(select(UserRow).where(UserRow.user_id.in_(user_ids)))
        return {row.user_id: _person(row) for row in rows}


def active(user_id: UUID) -> Person | None:
    """Read the person of an account; None when there is none, or it is disabled."""
    mine = (UserRow.user_id == user_id, UserRow.disabled_at.is_(None))
    with transaction(PLATFORM_ID) as session:
        row = session.scalars(select(UserRow).where(*mine)).first()
        return _person(row) if row else None


def matching(search: str, among: Collection[UUID]) -> list[UUID]:
    """Find those of the accounts whose name or e-mail holds a text, case ignored."""
    holds = UserRow.email.icontains(search, autoescape=True) | UserRow.name.icontains(search, autoescape=True)
    with transaction(PLATFORM_ID) as session:
        found = select(UserRow.user_id).where(UserRow.user_id.in_(among), holds).limit(MOST_FOUND)
        return list(session.scalars(found))


def _add(email: str, name: str, password_hash: str | None, *, platform_role: str | None = None) -> UUID:
    address = invitations.check_email(email)
    row = UserRow(user_id=new_id(), email=address, name=name, password_hash=password_hash)
    row.granted_platform_role = platform_role
    after = {"email": address, "name": name, "platform_role": platform_role}
    try:
        with transaction(PLATFORM_ID) as session:
            session.add(row)
            session.flush()
            audit.record("account.create", kind="person", id=row.user_id, name=address, after=after)
    except IntegrityError as error:
        raise Invalid("email", "has an account already") from error
    return row.user_id


def _account(row: UserRow) -> Account:
    return Account(
        _person(row),
        row.password_hash,
        has_second_factor=row.totp_confirmed_at is not None,
        is_admin_by_hand=row.granted_platform_role == "admin",
    )


def _person(row: UserRow) -> Person:
    return Person(user_id=row.user_id, email=row.email, name=row.name, platform_role=row.platform_role)
