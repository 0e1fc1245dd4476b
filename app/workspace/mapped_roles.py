"""Roles that mappings give to members, beside those given by hand. What the mappings say is `app.auth.mappings`' business."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID
from app.workspace import members
from app.workspace.tables import MembershipRow

LAST_OWNER = "the mapping gives this no more, but the workspace has no other owner"


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody is in one place: by hand, and by mapping."""

    granted: str | None = None
    mapped: str | None = None


def of_person(user_id: UUID) -> dict[UUID, Standing]:
    """Read a person's memberships in every workspace."""
    statement = text("select workspace_id, granted_role, mapped_role from memberships_of(:person)")
    with transaction(PLATFORM_ID) as session:
        return {row[0]: Standing(row[1], row[2]) for row in session.execute(statement, {"person": user_id})}


def of_workspace(workspace_id: UUID) -> dict[UUID, Standing]:
    """Read the memberships of a workspace by person."""
    return {one.user_id: Standing(one.granted_role, one.mapped_role) for one in members.of(workspace_id)}


def put(workspace_id: UUID, user_id: UUID, role: str | None, *, name: str, reason: str | None = None) -> bool:
    """Set the role that mappings give to a person; None: they give none. `name` is his, for the audit.

    His membership begins and ends with it, unless he has a role by hand. Tell whether it was set: the last
    owner stays what he is, and the audit trail says why.
    """
    if role is not None:
        members.check_role(role)
    with transaction(workspace_id) as session:
        owners = members.lock_owners(session, workspace_id)
        row = members.find_row(session, workspace_id, user_id)
        before = Standing(row.granted_role, row.mapped_role) if row else Standing()
        if before.mapped == role:
            return True
        if list(owners) == [user_id] and "owner" not in (before.granted, role):
            _record("member.update", before.mapped, role, user_id, name, outcome="refused", reason=LAST_OWNER)
            return False
        _write(session, row, workspace_id, user_id, role)
        members.withdraw_invitations(session, workspace_id, user_id, still=members.highest(before.granted, role))
        _record(_action(before, role), before.mapped, role, user_id, name, reason=reason)
        return True


def _write(session: Session, row: MembershipRow | None, workspace_id: UUID, user_id: UUID, role: str | None) -> None:
    if row is None:
        session.add(MembershipRow(workspace_id=workspace_id, user_id=user_id, mapped_role=role, source="mapping"))
    elif role is None and row.granted_role is None:
        session.delete(row)
    else:
        row.mapped_role = role
    session.flush()


def _action(before: Standing, role: str | None) -> str:
    if before == Standing():
        return "member.create"
    return "member.delete" if before.granted is None and role is None else "member.update"


def _record(  # noqa: PLR0913 - an entry is all of this
    action: str,
    before: str | None,
    after: str | None,
    user_id: UUID,
    name: str,
    *,
    reason: str | None,
    outcome: str = "done",
) -> None:
    audit.record(
        action,
        kind="member",
        id=user_id,
        name=name,
        before={"mapped_role": before} if before else None,
        after={"mapped_role": after} if after else None,
        outcome=outcome,
        reason=reason,
    )
