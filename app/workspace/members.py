"""Members: who belongs to a workspace, and as what. A workspace that has an owner never loses its last one.

A member has a role that was given by hand, or one that a mapping gives, or both; the higher counts.
What is done here by hand touches the given one only; `mapped_roles` sets the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.errors import NotAllowed
from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID
from app.workspace import pages, twins
from app.workspace.names import Invalid, NotFound
from app.workspace.tables import InvitationRow, MembershipRow, WorkspaceRow
from app.workspace.workspaces import Workspace

ROLES = ("owner", "admin", "developer", "billing", "viewer")
"""The highest first."""
INVITERS = frozenset({"owner", "admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A person's role in a workspace: the higher of `granted_role`, given by hand, and `mapped_role`.

    `source` is how he came in: by hand (manual), by invitation or by a mapping.
    """

    user_id: UUID
    role: str
    granted_role: str | None
    mapped_role: str | None
    source: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who changes members. `role` is what he acts as: a platform admin acts as an owner."""

    user_id: UUID
    role: str


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace and a person's role in it; None: he is no member."""

    workspace: Workspace
    role: str | None


def of(workspace_id: UUID) -> list[Member]:
    """List every member, oldest account first."""
    statement = select(MembershipRow).where(MembershipRow.workspace_id == workspace_id)
    with transaction(workspace_id) as session:
        return [_value(row) for row in session.scalars(statement.order_by(MembershipRow.user_id))]


def page(workspace_id: UUID, *, only: Sequence[UUID] | None = None, after: UUID | None = None) -> pages.Page[Member]:
    """List a page of the members, oldest account first; `only` those of these people."""
    statement = select(MembershipRow).where(MembershipRow.workspace_id == workspace_id)
    if only is not None:
        statement = statement.where(MembershipRow.user_id.in_(only))
    if after is not None:
        statement = statement.where(MembershipRow.user_id > after)
    with transaction(workspace_id) as session:
        rows = session.scalars(statement.order_by(MembershipRow.user_id).limit(pages.SIZE + 1))
        return pages.cut([_value(row) for row in rows], lambda one: str(one.user_id))


def role_of(workspace_id: UUID, user_id: UUID) -> str | None:
    """Read a person's role; None: he is no member."""
    mine = (MembershipRow.workspace_id == workspace_id, MembershipRow.user_id == user_id)
    with transaction(workspace_id) as session:
        return session.scalars(select(MembershipRow.role).where(*mine)).first()


def place_of(workspace_id: UUID, user_id: UUID) -> Place | None:
    """Read a workspace with a person's role in it, in one statement. None: there is no such workspace."""
    mine = (MembershipRow.workspace_id == WorkspaceRow.workspace_id) & (MembershipRow.user_id == user_id)
    statement = (
        select(WorkspaceRow, MembershipRow.role)
        .outerjoin(MembershipRow, mine)
        .where(WorkspaceRow.workspace_id == workspace_id)
    )
    with transaction(workspace_id) as session:
        found = session.execute(statement).first()
        return Place(Workspace.of(found[0]), found[1]) if found else None


def places_of(user_id: UUID) -> list[Place]:
    """List the workspaces that a person is a member of, by name, archived ones included."""
    statement = text("select workspace_id, name, timezone, managed_by, archived_at, role from workspaces_of(:person)")
    with transaction(PLATFORM_ID) as session:
        rows = [dict(row) for row in session.execute(statement, {"person": user_id}).mappings()]
    places = [Place(role=row.pop("role"), workspace=Workspace(**row)) for row in rows]
    return sorted(places, key=lambda place: place.workspace.name)


def add(workspace_id: UUID, user_id: UUID, role: str, *, name: str, source: str = "manual") -> None:
    """Make a person a member by hand; `name` is his, for the audit. Raise `Invalid` when he is one by hand already."""
    check_role(role)
    if workspace_id == PLATFORM_ID:
        raise Invalid("role", "the platform has no members; its admin and its auditor are accounts of their own")
    with transaction(workspace_id) as session:
        row = find_row(session, workspace_id, user_id)
        if row is not None and row.granted_role:
            raise Invalid("email", "is a member already")
        if row is None:
            session.add(MembershipRow(workspace_id=workspace_id, user_id=user_id, granted_role=role, source=source))
        else:
            row.granted_role, row.source = role, source
        session.flush()
        audit.record("member.create", kind="member", id=user_id, name=name, after={"role": role, "source": source})


def change_role(workspace_id: UUID, user_id: UUID, role: str, *, by: By, name: str) -> None:
    """Give a member another role by hand, beside the one of a mapping.

    Raise `NotAllowed` above what `by` may give, `Invalid` when the last owner would be none any more.
    """
    with transaction(workspace_id) as session:
        owners = lock_owners(session, workspace_id)
        row = _row(session, workspace_id, user_id)
        before = row.granted_role
        if check_role(role) == before:
            return
        _check_may_change(by, user_id, before, role)
        still = highest(role, row.mapped_role)
        _check_an_owner_stays(owners, user_id, still=still)
        row.granted_role = role
        withdraw_invitations(session, workspace_id, user_id, still=still)
        audit.record(
            "member.update", kind="member", id=user_id, name=name, before={"role": before}, after={"role": role}
        )


def remove(workspace_id: UUID, user_id: UUID, *, by: By, name: str) -> str | None:
    """Take from a member what he was given by hand; tell which role a mapping still gives. None: he is out.

    His account stays. Raise `NotAllowed` for a role above `by`, `Invalid` for the last owner and for somebody
    whose only role is by mapping.
    """
    with transaction(workspace_id) as session:
        owners = lock_owners(session, workspace_id)
        row = _row(session, workspace_id, user_id)
        before, still = row.granted_role, row.mapped_role
        if before is None:
            raise Invalid("role", f"comes from a mapping alone ({still}), and goes with the mapping or the group")
        check_may_give(by, before)
        _check_an_owner_stays(owners, user_id, still=still)
        _take_granted(session, row)
        withdraw_invitations(session, workspace_id, user_id, still=still)
        after = {"mapped_role": still} if still else None
        audit.record("member.delete", kind="member", id=user_id, name=name, before={"role": before}, after=after)
        return still


def check_role(role: str) -> str:
    """Give the role back, or raise `Invalid`."""
    if role not in ROLES:
        raise Invalid("role", f"must be one of {', '.join(ROLES)}")
    return role


def check_may_give(by: By, role: str) -> None:
    """Raise `NotAllowed` for a role above the own one; so only an owner makes or unmakes owners."""
    if rank(role) < rank(by.role):
        raise NotAllowed(f"A person with the role {by.role} cannot give or take the role {role}.")


def rank(role: str) -> int:
    """The place of a role among all, 0 is the highest."""
    return ROLES.index(role)


def highest(*roles: str | None) -> str | None:
    """The highest of some roles; None when there is none."""
    return min((role for role in roles if role), key=rank, default=None)


def lock_owners(session: Session, workspace_id: UUID) -> Sequence[UUID]:
    """Read the owners and keep them until the transaction ends: of two that demote each other, the second waits and sees."""
    statement = select(MembershipRow.user_id).where(
        MembershipRow.workspace_id == workspace_id, MembershipRow.role == "owner"
    )
    return session.scalars(statement.order_by(MembershipRow.user_id).with_for_update()).all()


def withdraw_invitations(session: Session, workspace_id: UUID, user_id: UUID, *, still: str | None) -> None:
    """Take back what somebody invited to and could not any more: he may hold the links."""
    mine = (InvitationRow.workspace_id == workspace_id, InvitationRow.created_by == user_id)
    for row in session.scalars(select(InvitationRow).where(*mine, InvitationRow.accepted_at.is_(None))).all():
        if still not in INVITERS or rank(row.role) < rank(still):
            session.delete(row)
            invitation = {"role": row.role, "reason": "the inviter may not invite to it any more"}
            audit.record(
                "invitation.delete", kind="invitation", id=row.invitation_id, name=row.email, before=invitation
            )


def find_row(session: Session, workspace_id: UUID, user_id: UUID) -> MembershipRow | None:
    """Read a membership as it is now; nobody else makes, changes or ends it until the transaction ends."""
    twins.wait(session, UUID(int=workspace_id.int ^ user_id.int))
    return session.get(MembershipRow, (workspace_id, user_id), populate_existing=True)


def _check_may_change(by: By, user_id: UUID, before: str | None, after: str) -> None:
    check_may_give(by, after)
    if before:
        check_may_give(by, before)
    if by.user_id == user_id and (before is None or rank(after) < rank(before)):
        raise NotAllowed("Nobody raises his own role.")


def _check_an_owner_stays(owners: Sequence[UUID], user_id: UUID, *, still: str | None) -> None:
    if still != "owner" and list(owners) == [user_id]:
        raise Invalid("role", "is that of the last owner: make somebody else an owner first")


def _take_granted(session: Session, row: MembershipRow) -> None:
    if row.mapped_role:
        row.granted_role, row.source = None, "mapping"
    else:
        session.delete(row)


def _row(session: Session, workspace_id: UUID, user_id: UUID) -> MembershipRow:
    row = find_row(session, workspace_id, user_id)
    if row is None:
        raise NotFound(f"there is no member {user_id}")
    return row


def _value(row: MembershipRow) -> Member:
    return Member(
        user_id=row.user_id,
        role=row.role,
        granted_role=row.granted_role,
        mapped_role=row.mapped_role,
        source=row.source,
        created_at=row.created_at,
    )
