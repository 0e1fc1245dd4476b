"""Invitations: a place in a workspace, kept for an e-mail address and opened with a link.

The link holds a secret that is shown once; its hash is stored. It works for 7 days, once.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.extensions import transaction, vault
from app.logging import audit
from app.units import PLATFORM_ID, new_id
from app.workspace import members, names, twins
from app.workspace.members import By
from app.workspace.names import Invalid, NotFound
from app.workspace.tables import InvitationRow

LIFE = timedelta(days=7)
LONGEST_EMAIL = 254
PURPOSE = b"invitation"
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A place kept for somebody."""

    invitation_id: UUID
    email: str
    role: str
    created_by: UUID
    expires_at: datetime
    accepted_at: datetime | None


class MadeBefore(Exception):
    """The same form was sent before: its invitation is there, and its link was shown then."""


def create(  # noqa: PLR0913 - an invitation is all of this
    workspace_id: UUID, email: str, role: str, *, by: By, now: datetime, invitation_id: UUID | None = None
) -> str:
    """Invite an address, instead of an earlier time; give the link's secret.

    Raise `Invalid` for what is no address or role, `NotAllowed` for a role above the inviter's, and
    `MadeBefore` when there is one of this id.
    """
    if workspace_id == PLATFORM_ID:
        raise Invalid("email", "cannot be invited to the platform")
    address = check_email(email)
    members.check_may_give(by, members.check_role(role))
    token, own = secrets.token_urlsafe(32), invitation_id or new_id()
    row = InvitationRow(workspace_id=workspace_id, invitation_id=own, email=address, role=role, created_by=by.user_id)
    row.token_hash, row.created_at, row.expires_at = _hash(workspace_id, token), now, now + LIFE
    with transaction(workspace_id) as session:
        twins.wait(session, workspace_id)
        if session.get(InvitationRow, (workspace_id, own)):
            raise MadeBefore
        _replace_open_one(session, row, by)
        session.add(row)
        session.flush()
        after = {"role": role, "expires_at": row.expires_at}
        audit.record("invitation.create", kind="invitation", id=own, name=address, after=after)
    return token


def open_of(workspace_id: UUID) -> list[Invitation]:
    """List those that nobody has accepted, expired ones included, by address."""
    mine = (InvitationRow.workspace_id == workspace_id, InvitationRow.accepted_at.is_(None))
    with transaction(workspace_id) as session:
        return [
            _value(row) for row in session.scalars(select(InvitationRow).where(*mine).order_by(InvitationRow.email))
        ]


def revoke(workspace_id: UUID, invitation_id: UUID, *, by: By) -> None:
    """Take an invitation back: its link opens nothing any more. Raise `NotFound` when it is gone or was accepted."""
    with transaction(workspace_id) as session:
        row = session.get(InvitationRow, (workspace_id, invitation_id), with_for_update=True)
        if row is None or row.accepted_at:
            raise NotFound(f"there is no open invitation {invitation_id}")
        members.check_may_give(by, row.role)
        _delete(session, row)


def find(workspace_id: UUID, token: str, *, now: datetime) -> Invitation:
    """Find the invitation that a link opens, accepted or not; raise `NotFound` when it is unknown, revoked or expired."""
    with transaction(workspace_id) as session:
        row = session.scalars(select(InvitationRow).where(*_with_token(workspace_id, token))).first()
        return _value(_living(row, now))


def accept(workspace_id: UUID, token: str, *, now: datetime) -> Invitation:
    """Use an invitation up; raise `NotFound` when it cannot be used any more. Of two at once, one succeeds."""
    with transaction(workspace_id) as session:
        statement = select(InvitationRow).where(*_with_token(workspace_id, token)).with_for_update()
        row = _living(session.scalars(statement).first(), now)
        if row.accepted_at:
            raise NotFound("the invitation was accepted before")
        row.accepted_at = now
        audit.record("invitation.accept", kind="invitation", id=row.invitation_id, name=row.email)
        return _value(row)


def check_email(email: str) -> str:
    """Give an e-mail address back as it is stored, or raise `Invalid`."""
    address = normal_email(email)
    names.check("email", address)
    if len(address) > LONGEST_EMAIL or not EMAIL.fullmatch(address) or not address.isascii():
        raise Invalid("email", "must be an e-mail address such as jane.doe@example.com")
    return address


def normal_email(email: str) -> str:
    """Write an address as it is compared: people do not type letter cases the same way twice."""
    return email.strip().lower()


def _replace_open_one(session: Session, row: InvitationRow, by: By) -> None:
    """Take an earlier link to the same address back: who invites again has lost it."""
    mine = (InvitationRow.workspace_id == row.workspace_id, InvitationRow.email == row.email)
    earlier = session.scalars(select(InvitationRow).where(*mine, InvitationRow.accepted_at.is_(None))).first()
    if earlier:
        members.check_may_give(by, earlier.role)
        _delete(session, earlier)


def _delete(session: Session, row: InvitationRow) -> None:
    session.delete(row)
    session.flush()
    audit.record(
        "invitation.delete", kind="invitation", id=row.invitation_id, name=row.email, before={"role": row.role}
    )


def _living(row: InvitationRow | None, now: datetime) -> InvitationRow:
    if row is None or (row.expires_at <= now and not row.accepted_at):
        raise NotFound("the invitation is unknown, revoked or expired")
    return row


def _with_token(workspace_id: UUID, token: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    hashes = vault().signatures(PURPOSE, _signed(workspace_id, token))
    return InvitationRow.workspace_id == workspace_id, InvitationRow.token_hash.in_(hashes)


def _hash(workspace_id: UUID, token: str) -> bytes:
    return vault().sign(PURPOSE, _signed(workspace_id, token))


def _signed(workspace_id: UUID, token: str) -> bytes:
    return workspace_id.bytes + token.encode()


def _value(row: InvitationRow) -> Invitation:
    return Invitation(
        invitation_id=row.invitation_id,
        email=row.email,
        role=row.role,
        created_by=row.created_by,
        expires_at=row.expires_at,
        accepted_at=row.accepted_at,
    )
