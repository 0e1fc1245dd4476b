"""Closes a workspace and opens it again: its keys learn of it in the same transaction."""

from datetime import datetime
from uuid import UUID

from app.application import keys
from app.extensions import transaction
from app.workspace import workspaces


def archive(workspace_id: UUID, *, now: datetime) -> None:
    """Close a workspace: its keys stop working within a second, its rows stay for the bill."""
    with transaction(workspace_id):
        workspaces.archive(workspace_id, now=now)
        keys.refresh(workspace_id)


def restore(workspace_id: UUID) -> None:
    """Open an archived workspace again, with those of its keys that were not revoked."""
    with transaction(workspace_id):
        workspaces.revive(workspace_id)
        keys.refresh(workspace_id)
