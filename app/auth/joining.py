"""How people come into a workspace: invited by one who may, and with the link that he was given."""

from datetime import datetime
from uuid import UUID

from app.auth import passwords, users
from app.auth.sessions import Person
from app.errors import NotAllowed
from app.extensions import transaction
from app.workspace import invitations, members, names
from app.workspace.members import By
from app.workspace.names import Invalid


def invite(  # noqa: PLR0913 - an invitation is all of this
    workspace_id: UUID, email: str, role: str, *, by: By, now: datetime, invitation_id: UUID | None = None
) -> str:
    """Invite somebody who is no member yet; give the link's secret. Raises what `invitations.create` raises."""
    known = users.id_of(email)
    with transaction(workspace_id):
        if known and members.role_of(workspace_id, known):
            raise Invalid("email", "is a member's already")
        return invitations.create(workspace_id, email, role, by=by, now=now, invitation_id=invitation_id)


def as_new_person(workspace_id: UUID, token: str, *, name: str, password: str, now: datetime) -> Person:
    """Make the account of an invited person and let him in; raise `Invalid` for a field, `NotFound` for the link."""
    names.check("name", name)
    hashed = passwords.hash_of(passwords.check(password))
    with transaction(workspace_id):
        invitation = invitations.accept(workspace_id, token, now=now)
        user_id = users.create(invitation.email, name, hashed)
        members.add(workspace_id, user_id, invitation.role, name=invitation.email, source="invitation")
    return Person(user_id=user_id, email=invitation.email, name=name)


def as_person(workspace_id: UUID, token: str, person: Person, *, now: datetime) -> None:
    """Let somebody in who has an account; raise `NotAllowed` unless the invitation is to his address."""
    with transaction(workspace_id):
        invitation = invitations.accept(workspace_id, token, now=now)
        if invitation.email != person.email:
            raise NotAllowed("The invitation is for another address.")
        members.add(workspace_id, person.user_id, invitation.role, name=person.email, source="invitation")
