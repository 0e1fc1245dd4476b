"""People whom provisioning makes, changes, deactivates and deletes. A provider sees those that it has provisioned.

An account that exists is taken over only when the same provider has already vouched for it: when somebody
signed in with the very id that provisioning sends as `externalId`. An e-mail address links nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.auth import mappings, scim_accounts, scim_documents, scim_matches
from app.auth.directory_tables import IdentityRow, ScimGroupMemberRow, ScimGroupRow, ScimUserRow
from app.auth.scim_documents import Document, Provisioned, Taken
from app.auth.scim_matches import Condition
from app.auth.tables import UserRow
from app.extensions import transaction
from app.units import PLATFORM_ID
from app.workspace.names import NotFound

Edit = Callable[[Document], Mapping[str, Any]]
"""Makes the wanted document from the present one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A provisioned person. `active` is what provisioning said last, whatever a platform admin did since."""

    user_id: UUID
    user_name: str
    external_id: str | None
    active: bool
    attributes: Document
    created_at: datetime
    updated_at: datetime

    def document(self) -> Document:
        """Write him down as SCIM does, without what only the server says."""
        own = {"externalId": self.external_id} if self.external_id else {}
        return own | {"userName": self.user_name, "active": self.active} | self.attributes


@dataclass(frozen=True, slots=True)
class Found:
    """Some of the people or groups that were asked for; `total` is how many there are."""

    total: int
    users: list[User]


def create(provider_id: UUID, document: Mapping[str, Any], *, now: datetime) -> User:
    """Make a person; raise `Invalid` for what cannot be, `Taken` for what is another's already."""
    wanted = scim_documents.read(document)
    with transaction(PLATFORM_ID) as session, scim_accounts.unique():
        scim_accounts.begin(session)
        _check_is_new(session, provider_id, wanted)
        known = _vouched_for(session, provider_id, wanted.external_id)
        account = known or scim_accounts.create(session, provider_id, wanted)
        row = _row_of(session, provider_id, account.user_id, wanted, now)
        _write(session, row, account, wanted, now)
        after = scim_accounts.facts(row, account)
        scim_accounts.note("account.provision" if known else "account.create", account, None, after)
        mappings.sync(account.user_id)
        return _value(row)


def get(provider_id: UUID, user_id: UUID) -> User:
    """Read one person; raise `NotFound` for everybody whom this provider has not provisioned."""
    with transaction(PLATFORM_ID) as session:
        return _value(_row(session, provider_id, user_id))


def page(provider_id: UUID, conditions: Sequence[Condition], *, offset: int, limit: int) -> Found:
    """List those who meet every condition, the oldest first. Raise `Invalid` for what cannot be asked."""
    wanted = [ScimUserRow.provider_id == provider_id, ScimUserRow.deleted_at.is_(None)]
    wanted += [scim_matches.of_user(one) for one in conditions]
    with transaction(PLATFORM_ID) as session:
        total = session.scalars(select(sql.func.count()).select_from(ScimUserRow).where(*wanted)).one()
        if limit == 0 or offset >= total:
            return Found(total, [])
        rows = select(ScimUserRow).where(*wanted).order_by(ScimUserRow.user_id).offset(offset).limit(limit)
        return Found(total, [_value(row) for row in session.scalars(rows)])


def change(provider_id: UUID, user_id: UUID, edit: Edit, *, now: datetime) -> User:
    """Make a person what `edit` makes of his document; raise as `create` does, and `NotFound`.

    A document without `active` leaves it as it is.
    """
    with transaction(PLATFORM_ID) as session, scim_accounts.unique():
        scim_accounts.begin(session)
        row = _row(session, provider_id, user_id, lock=True)
        account, before = session.get_one(UserRow, user_id), _value(row)
        wanted = scim_documents.read({"active": before.active} | scim_documents.tidy(edit(before.document())))
        _check_is_new(session, provider_id, wanted, besides=user_id)
        facts = scim_accounts.facts(row, account) | {"attributes": []}
        _write(session, row, account, wanted, now)
        changed = _differing(before.attributes, wanted.attributes)
        scim_accounts.note(
            "account.update", account, facts, scim_accounts.facts(row, account) | {"attributes": changed}
        )
        return _value(row)


def delete(provider_id: UUID, user_id: UUID, *, now: datetime) -> None:
    """Forget what provisioning has said of a person and close his account, which stays for the books; raise `NotFound`."""
    with transaction(PLATFORM_ID) as session:
        scim_accounts.begin(session)
        row = _row(session, provider_id, user_id, lock=True)
        scim_accounts.set_active(session, row, active=False, now=now)
        row.deleted_at, row.attributes = now, {}
        groups = select(ScimGroupRow.group_id).where(ScimGroupRow.provider_id == provider_id)
        mine = (ScimGroupMemberRow.user_id == user_id, ScimGroupMemberRow.group_id.in_(groups))
        session.execute(sql.delete(ScimGroupMemberRow).where(*mine))
        account = session.get_one(UserRow, user_id)
        scim_accounts.note("account.deprovision", account, scim_accounts.facts(row, account), None)
        mappings.sync(user_id)


def account_of(provider_id: UUID, external_id: str) -> UUID | None:
    """Find the account that provisioning made for somebody's id at this provider; None: it made none."""
    mine = (ScimUserRow.provider_id == provider_id, ScimUserRow.external_id == external_id)
    with transaction(PLATFORM_ID) as session:
        return session.scalars(select(ScimUserRow.user_id).where(*mine, ScimUserRow.deleted_at.is_(None))).first()


def _write(session: Session, row: ScimUserRow, account: UserRow, wanted: Provisioned, now: datetime) -> None:
    # First of all, since it waits for every platform admin's row: nobody waits for ours meanwhile.
    scim_accounts.set_active(session, row, active=wanted.active, now=now)
    scim_accounts.follow(session, row.provider_id, account, wanted)
    row.user_name, row.external_id = wanted.user_name, wanted.external_id
    if row.attributes != wanted.attributes:
        row.attributes = wanted.attributes
    if session.is_modified(row) or session.is_modified(account):
        row.updated_at = now
    session.flush()


def _differing(before: Document, after: Document) -> list[str]:
    return sorted(name for name in {**before, **after} if before.get(name) != after.get(name))


def _check_is_new(session: Session, provider_id: UUID, wanted: Provisioned, besides: UUID | None = None) -> None:
    """Raise `Taken` in words; of two at once the database refuses the second."""
    name = sql.func.lower(ScimUserRow.user_name) == wanted.user_name.lower()
    either = sql.or_(name, ScimUserRow.external_id == wanted.external_id) if wanted.external_id else name
    statement = select(ScimUserRow.user_name).where(
        ScimUserRow.provider_id == provider_id, ScimUserRow.deleted_at.is_(None), either
    )
    if besides:
        statement = statement.where(ScimUserRow.user_id != besides)
    taken = session.scalars(statement).first()
    if taken is not None:
        same = taken.lower() == wanted.user_name.lower()
        raise Taken("userName" if same else "externalId", "belongs to another user already")


def _vouched_for(session: Session, provider_id: UUID, external_id: str | None) -> UserRow | None:
    """Find the account of the one person who has signed in at this provider with this very id."""
    mine = (IdentityRow.provider_id == provider_id, IdentityRow.subject == external_id)
    found = session.scalars(select(IdentityRow.user_id).where(*mine).distinct()).all() if external_id else []
    return session.get_one(UserRow, found[0]) if len(found) == 1 else None


def _row_of(session: Session, provider_id: UUID, user_id: UUID, wanted: Provisioned, now: datetime) -> ScimUserRow:
    """Take the row of somebody who was deleted before, or a new one."""
    row = session.get(ScimUserRow, (provider_id, user_id), with_for_update=True)
    if row is None:
        row = ScimUserRow(provider_id=provider_id, user_id=user_id, user_name=wanted.user_name, attributes={})
        session.add(row)
    elif row.deleted_at is None:
        raise Taken("externalId", "belongs to another user already")
    row.deleted_at, row.created_at, row.updated_at = None, now, now
    session.flush()
    return row


def _row(session: Session, provider_id: UUID, user_id: UUID, *, lock: bool = False) -> ScimUserRow:
    row = session.get(ScimUserRow, (provider_id, user_id), populate_existing=True, with_for_update=lock)
    if row is None or row.deleted_at:
        raise NotFound(f"User {user_id} is not here.")
    return row


def _value(row: ScimUserRow) -> User:
    return User(
        user_id=row.user_id,
        user_name=row.user_name,
        external_id=row.external_id,
        active=row.deactivated_at is None,
        attributes=row.attributes,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
