"""What an admin may change of a workspace: name and zone, as one change that its keys learn of."""

from uuid import UUID

from app.application import keys
from app.extensions import transaction
from app.workspace import workspaces


def save(workspace_id: UUID, *, name: str, timezone: str) -> None:
    """Set both, or neither; raise `Invalid` for a bad or taken name or an unknown zone. Keys carry the zone."""
    workspaces.check_timezone(timezone)
    with transaction(workspace_id):
        before = workspaces.get(workspace_id)
        if name != before.name:
            workspaces.rename(workspace_id, name)
        if timezone != before.timezone:
            workspaces.set_timezone(workspace_id, timezone)
            keys.refresh(workspace_id)
