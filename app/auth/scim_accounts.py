"""The account behind somebody whom provisioning manages: its address, its name, and whether it is open.

What a platform admin has closed by hand, provisioning does not open: it opens what it has closed itself,
which is seen by the very instant at which that was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.auth import deactivation, mappings_effects
from app.auth.directory_tables import ScimUserRow
from app.auth.scim_documents import Provisioned, Taken
from app.auth.tables import UserRow
from app.logging import audit
from app.units import new_id

TAKEN = {
    "ix_scim_user_provider_id_user_name": ("userName", "belongs to another user already"),
    "ix_scim_user_provider_id_external_id": ("externalId", "belongs to another user already"),
    "pk_scim_user": ("externalId", "belongs to another user already"),
    "ix_scim_group_provider_id_display_name": ("displayName", "belongs to another group already"),
    "uq_user_account_email": (
        "emails",
        "hold the address of an account that this provider has not made; its owner can sign in and link it",
    ),
}
"""What the database refuses a row for → the attribute, and the words."""


def begin(session: Session) -> None:
    """Wait for a running change of the mappings: it waits for accounts in turn, so this comes before them."""
    session.execute(select(func.pg_advisory_xact_lock_shared(mappings_effects.LOCK)))


@contextmanager
def unique() -> Iterator[None]:
    """Raise `Taken` when what the block writes is refused because somebody else has it."""
    try:
        yield
    except IntegrityError as error:
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None) or ""
        if constraint not in TAKEN:
            raise
        raise Taken(*TAKEN[constraint]) from error


def create(session: Session, provider_id: UUID, wanted: Provisioned) -> UserRow:
    """Make an account that no password opens; raise `Taken` for the address."""
    account = UserRow(user_id=new_id(), name=wanted.name)
    account.email = _address(session, provider_id, account.user_id, wanted)
    session.add(account)
    session.flush()
    return account


def follow(session: Session, provider_id: UUID, account: UserRow, wanted: Provisioned) -> None:
    """Give the account the name and the address that provisioning says; raise `Taken` for the address."""
    account.name, account.email = wanted.name, _address(session, provider_id, account.user_id, wanted)


def set_active(session: Session, row: ScimUserRow, *, active: bool, now: datetime) -> None:
    """Close or open the account; raise `Invalid` for the last platform admin's."""
    if active and row.deactivated_at:
        closed_at, row.deactivated_at = row.deactivated_at, None
        _open(session, row, closed_at)
    if not active and (row.deactivated_at is None or _is_open(session, row.user_id)):
        row.deactivated_at = now
        deactivation.deactivate(row.user_id, now=now)


def facts(row: ScimUserRow, account: UserRow) -> dict[str, Any]:
    """What the audit trail keeps of a person."""
    return {
        "email": account.email,
        "name": account.name,
        "user_name": row.user_name,
        "external_id": row.external_id,
    }


def note(action: str, account: UserRow, before: audit.Fields | None, after: audit.Fields | None) -> None:
    """Write down what provisioning has done to an account."""
    audit.record(action, kind="person", id=account.user_id, name=account.email, before=before, after=after)


def _open(session: Session, row: ScimUserRow, closed_at: datetime) -> None:
    """Open an account that was closed then, unless another provider says that he has left."""
    account = session.get_one(UserRow, row.user_id, populate_existing=True, with_for_update={"key_share": True})
    if account.disabled_at != closed_at:
        return
    others = select(func.min(ScimUserRow.deactivated_at)).where(
        ScimUserRow.user_id == row.user_id, ScimUserRow.provider_id != row.provider_id
    )
    still_closed_at = session.scalars(others).first()
    if still_closed_at:
        account.disabled_at = still_closed_at
    else:
        deactivation.reactivate(row.user_id)


def _is_open(session: Session, user_id: UUID) -> bool:
    return session.scalars(select(UserRow.disabled_at).where(UserRow.user_id == user_id)).one() is None


def _address(session: Session, provider_id: UUID, user_id: UUID, wanted: Provisioned) -> str:
    """Find the address that the account gets: the one given, or one that nobody can have."""
    address = wanted.email or f"{user_id}@{provider_id}.invalid"
    holder = session.scalars(select(UserRow).where(UserRow.email == address, UserRow.user_id != user_id)).first()
    if holder:
        if not _is_gone(session, provider_id, holder):
            raise Taken(*TAKEN["uq_user_account_email"])
        before, holder.email = holder.email, f"{holder.user_id}@{provider_id}.invalid"
        session.flush()
        note("account.update", holder, {"email": before}, {"email": holder.email})
    return address


def _is_gone(session: Session, provider_id: UUID, account: UserRow) -> bool:
    """Tell whether this provider has deleted somebody: his address may be another's by now."""
    mine = (ScimUserRow.provider_id == provider_id, ScimUserRow.user_id == account.user_id)
    gone = sql.and_(ScimUserRow.deleted_at.is_not(None), ScimUserRow.deactivated_at == account.disabled_at)
    return session.scalars(select(ScimUserRow.user_id).where(*mine, gone)).first() is not None
