"""Who is in which group: rows, changed in few statements however many people a change names."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.auth.directory_tables import ScimGroupMemberRow, ScimGroupRow, ScimUserRow
from app.workspace.names import Invalid


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a group."""

    user_id: UUID
    user_name: str


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a group: `what` is name, external_id, add, remove or set; the last three are of `people`.

    None for the people to be removed is everybody.
    """

    what: str
    value: str | None = None
    people: Collection[UUID] | None = field(default=())


def of(session: Session, group_ids: Collection[UUID]) -> dict[UUID, list[Member]]:
    """Read the members of groups, by user name; each group asked for is there."""
    statement = (
        select(ScimGroupMemberRow.group_id, ScimUserRow.user_id, ScimUserRow.user_name)
        .join(ScimGroupRow, ScimGroupRow.group_id == ScimGroupMemberRow.group_id)
        .join(
            ScimUserRow,
            (ScimUserRow.user_id == ScimGroupMemberRow.user_id) & (ScimUserRow.provider_id == ScimGroupRow.provider_id),
        )
        .where(ScimGroupMemberRow.group_id.in_(group_ids), ScimUserRow.deleted_at.is_(None))
        .order_by(ScimUserRow.user_name)
    )
    found: dict[UUID, list[Member]] = defaultdict(list)
    for group_id, user_id, user_name in session.execute(statement):
        found[group_id].append(Member(user_id, user_name))
    return found


def ids(session: Session, group_id: UUID) -> set[UUID]:
    """Read who is in a group."""
    return set(session.scalars(select(ScimGroupMemberRow.user_id).where(ScimGroupMemberRow.group_id == group_id)))


def names(session: Session, provider_id: UUID, people: Collection[UUID]) -> list[str]:
    """Name people for the audit trail."""
    mine = (ScimUserRow.provider_id == provider_id, ScimUserRow.user_id.in_(people))
    statement = select(ScimUserRow.user_name).where(*mine).order_by(ScimUserRow.user_name)
    return list(session.scalars(statement)) if people else []


def apply(session: Session, group: ScimGroupRow, steps: Sequence[Step]) -> tuple[set[UUID], set[UUID]]:
    """Do the steps; tell who has come and who has gone. Raise `Invalid` for somebody who is not this provider's."""
    _check_known(
        session, group.provider_id, {one for step in steps if step.what != "remove" for one in step.people or ()}
    )
    came: set[UUID] = set()
    went: set[UUID] = set()
    for step in steps:
        removed = _remove(session, group.group_id, step) if step.what in {"remove", "set"} else set()
        came, went = came - removed, went | (removed - came)
        added = _add(session, group.group_id, step.people or ()) if step.what in {"add", "set"} else set()
        came, went = came | (added - went), went - added
    return came, went


def _check_known(session: Session, provider_id: UUID, people: set[UUID]) -> None:
    mine = (ScimUserRow.provider_id == provider_id, ScimUserRow.deleted_at.is_(None))
    known = set(session.scalars(select(ScimUserRow.user_id).where(*mine, ScimUserRow.user_id.in_(people))))
    unknown = sorted(people - known)
    if unknown:
        more = f" and {len(unknown) - 1} more" if unknown[1:] else ""
        raise Invalid("members", f"must be users of this provider; {unknown[0]}{more} is not")


def _remove(session: Session, group_id: UUID, step: Step) -> set[UUID]:
    """Take out whom a step names or, where it sets the members, whom it does not."""
    statement = sql.delete(ScimGroupMemberRow).where(ScimGroupMemberRow.group_id == group_id)
    if step.people is not None:
        named = ScimGroupMemberRow.user_id.in_(step.people)
        statement = statement.where(named if step.what == "remove" else ~named)
    return set(session.scalars(statement.returning(ScimGroupMemberRow.user_id)))


def _add(session: Session, group_id: UUID, people: Collection[UUID]) -> set[UUID]:
    """Put people in; those who are in already are not among the ones told."""
    if not people:
        return set()
    rows = [{"group_id": group_id, "user_id": user_id} for user_id in sorted(set(people))]
    statement = insert(ScimGroupMemberRow).values(rows).on_conflict_do_nothing()
    return set(session.scalars(statement.returning(ScimGroupMemberRow.user_id)))
