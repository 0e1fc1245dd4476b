"""Whom a key belongs to: a member whose account is open. His keys stop with his account (see `deactivation`)."""

from typing import Any, Unpack
from uuid import UUID

from sqlalchemy import select

from app.application import keys
from app.application.keys import KeyChange, NewKey
from app.auth import users
from app.auth.sessions import Person
from app.auth.tables import UserRow
from app.extensions import transaction
from app.workspace import members
from app.workspace.names import Invalid


def choices(workspace_id: UUID, *, besides: UUID | None = None) -> list[Person]:
    """List who may own a key, by name; `besides` is whoever owns it already, whatever he is now."""
    everybody = [member.user_id for member in members.of(workspace_id)]
    working = (UserRow.user_id.in_(everybody), UserRow.disabled_at.is_(None))
    with transaction(workspace_id) as session:
        found = set(session.scalars(select(UserRow.user_id).where(*working))) | ({besides} if besides else set())
    return sorted(users.of(found).values(), key=lambda person: (person.name.casefold(), person.email))


def create(workspace_id: UUID, application_id: UUID | None, name: str, **about: Any) -> NewKey:
    """Make a key as `keys.create` does; raise `Invalid` for somebody who cannot own it."""
    with transaction(workspace_id):
        _check(workspace_id, about.get("owner_id"))
        return keys.create(workspace_id, application_id, name, **about)


def update(workspace_id: UUID, key_id: UUID, **change: Unpack[KeyChange]) -> None:
    """Change a key as `keys.update` does; raise `Invalid` for somebody who cannot own it, unless he does already."""
    with transaction(workspace_id):
        owner_id = change.get("owner_id")
        if owner_id != keys.get(workspace_id, key_id).owner_id:
            _check(workspace_id, owner_id)
        keys.update(workspace_id, key_id, **change)


def _check(workspace_id: UUID, owner_id: UUID | None) -> None:
    """See that somebody may own a key, and keep his account open until the transaction ends."""
    if owner_id is None:
        return
    working = (UserRow.user_id == owner_id, UserRow.disabled_at.is_(None))
    with transaction(workspace_id) as session:
        found = session.scalars(select(UserRow.user_id).where(*working).with_for_update(read=True)).first()
    if found is None or members.role_of(workspace_id, owner_id) is None:
        raise Invalid("owner", "must be a member of this workspace whose account is open")
