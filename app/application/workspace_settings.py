"""What an admin may change of a workspace: name and zone, and its networks; its keys learn of each change."""

from uuid import UUID

from app.application import keys
from app.extensions import transaction
from app.networks import Networks
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


def save_networks(workspace_id: UUID, networks: Networks) -> None:
    """Say where the workspace's pages and keys may be used from; none: anywhere. Proxies know within a second."""
    with transaction(workspace_id):
        if networks != workspaces.get(workspace_id).networks:
            workspaces.set_networks(workspace_id, networks)
            keys.refresh(workspace_id)
