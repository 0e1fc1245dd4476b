"""Groups that provisioning makes, and who is in them. Roles follow at once where a mapping names the group."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.auth import mappings_claims, mappings_crowds, scim_accounts, scim_matches, scim_members
from app.auth.directory_tables import ScimGroupRow
from app.auth.scim_matches import Condition
from app.auth.scim_members import Member, Step
from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID, new_id
from app.workspace.names import Invalid, NotFound

MAPPED = text("select 1 from role_mappings_of(:provider) where kind = 'group' and value = any(:names) limit 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group. `members` is None where nobody asked for them."""

    group_id: UUID
    display_name: str
    external_id: str | None
    created_at: datetime
    updated_at: datetime
    members: tuple[Member, ...] | None


@dataclass(frozen=True, slots=True)
class Found:
    """Some of the groups that were asked for; `total` is how many there are."""

    total: int
    groups: list[Group]


def create(provider_id: UUID, steps: Sequence[Step], *, now: datetime) -> Group:
    """Make a group as the steps say; raise `Invalid`, `Taken` for the name of another."""
    with transaction(PLATFORM_ID) as session, scim_accounts.unique():
        scim_accounts.begin(session)
        row = ScimGroupRow(group_id=new_id(), provider_id=provider_id, display_name="", created_at=now, updated_at=now)
        changed = [step for step in steps if _rename(row, step)]
        if not row.display_name:
            raise Invalid("displayName", "is missing")
        session.add(row)
        session.flush()
        added, _ = scim_members.apply(session, row, [step for step in steps if step not in changed])
        _note("create", row, None, _facts(row) | {"added": scim_members.names(session, provider_id, added)})
        _have_roles_follow(session, provider_id, _names(row), added)
        return _value(row, scim_members.of(session, [row.group_id])[row.group_id])


def get(provider_id: UUID, group_id: UUID, *, with_members: bool) -> Group:
    """Read one group; raise `NotFound` for one that is not this provider's."""
    with transaction(PLATFORM_ID) as session:
        row = _row(session, provider_id, group_id)
        return _value(row, scim_members.of(session, [group_id])[group_id] if with_members else None)


def page(
    provider_id: UUID, conditions: Sequence[Condition], *, offset: int, limit: int, with_members: bool = False
) -> Found:
    """List the groups that meet every condition, the oldest first. Raise `Invalid` for what cannot be asked."""
    wanted = [ScimGroupRow.provider_id == provider_id, *(scim_matches.of_group(one) for one in conditions)]
    with transaction(PLATFORM_ID) as session:
        total = session.scalars(select(sql.func.count()).select_from(ScimGroupRow).where(*wanted)).one()
        if limit == 0 or offset >= total:
            return Found(total, [])
        statement = select(ScimGroupRow).where(*wanted).order_by(ScimGroupRow.group_id).offset(offset).limit(limit)
        rows = session.scalars(statement).all()
        members = scim_members.of(session, [row.group_id for row in rows]) if with_members else {}
        return Found(total, [_value(row, members.get(row.group_id)) for row in rows])


def change(provider_id: UUID, group_id: UUID, steps: Sequence[Step], *, now: datetime) -> None:
    """Do the steps in their order, all or none; raise as `create` does, and `NotFound`."""
    with transaction(PLATFORM_ID) as session, scim_accounts.unique():
        scim_accounts.begin(session)
        row = _row(session, provider_id, group_id, lock=True)
        before, names_before = _facts(row), _names(row)
        changed = [step for step in steps if _rename(row, step)]
        renamed = before != _facts(row)
        session.flush()
        added, removed = scim_members.apply(session, row, [step for step in steps if step not in changed])
        if renamed or added or removed:
            row.updated_at = now
        moved = {"added": added, "removed": removed}
        people = {word: scim_members.names(session, provider_id, who) for word, who in moved.items() if who}
        _note("update", row, before | {word: [] for word in people}, _facts(row) | people)
        everybody = scim_members.ids(session, group_id) if names_before != _names(row) else set()
        _have_roles_follow(session, provider_id, names_before | _names(row), added | removed | everybody)


def delete(provider_id: UUID, group_id: UUID) -> None:
    """Remove a group, and the roles that it gave; raise `NotFound`."""
    with transaction(PLATFORM_ID) as session:
        scim_accounts.begin(session)
        row = _row(session, provider_id, group_id, lock=True)
        people, names = scim_members.ids(session, group_id), _names(row)
        session.delete(row)
        session.flush()
        _note("delete", row, _facts(row) | {"members": len(people)}, None)
        _have_roles_follow(session, provider_id, names, people)


def _rename(row: ScimGroupRow, step: Step) -> bool:
    """Do a step that is about the group itself; tell whether it was one."""
    if step.what == "name":
        row.display_name = step.value or ""
        if not row.display_name:
            raise Invalid("displayName", "is missing")
    elif step.what == "external_id":
        row.external_id = step.value
    return step.what in {"name", "external_id"}


def _have_roles_follow(session: Session, provider_id: UUID, names: set[str], people: Collection[UUID]) -> None:
    """Give people the roles of their groups anew, when any mapping is about the group."""
    if people and session.execute(MAPPED, {"provider": provider_id, "names": list(names)}).first():
        mappings_crowds.sync(people)


def _names(row: ScimGroupRow) -> set[str]:
    """What mappings may call the group."""
    return {mappings_claims.normal_group(name) for name in (str(row.group_id), row.external_id) if name}


def _facts(row: ScimGroupRow) -> dict[str, object]:
    return {"display_name": row.display_name, "external_id": row.external_id}


def _note(verb: str, row: ScimGroupRow, before: audit.Fields | None, after: audit.Fields | None) -> None:
    audit.record(f"group.{verb}", kind="group", id=row.group_id, name=row.display_name, before=before, after=after)


def _row(session: Session, provider_id: UUID, group_id: UUID, *, lock: bool = False) -> ScimGroupRow:
    row = session.get(ScimGroupRow, group_id, populate_existing=True, with_for_update=lock)
    if row is None or row.provider_id != provider_id:
        raise NotFound(f"Group {group_id} is not here.")
    return row


def _value(row: ScimGroupRow, members: Sequence[Member] | None) -> Group:
    return Group(
        group_id=row.group_id,
        display_name=row.display_name,
        external_id=row.external_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        members=None if members is None else tuple(members),
    )
