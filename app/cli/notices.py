"""What an operator should know although nothing is wrong."""

from app.application import keys
from app.workspace import workspaces


def unenforced_limits() -> list[str]:
    """One sentence for each key with limits that are stored, but not held yet when a call comes."""
    return [
        f"key {workspace.name}/{found.application}/{found.key}: "
        f"{', '.join(found.limits)} {'is' if len(found.limits) == 1 else 'are'} stored but not enforced yet"
        for workspace in workspaces.all_of_platform()
        if not workspace.archived_at
        for found in keys.unenforced(workspace.workspace_id)
    ]
