"""Workspaces: the tenants. Names are unique over the whole platform."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfoNotFoundError

from sqlalchemy import text, update

from app.extensions import transaction
from app.units import PLATFORM_ID, new_id, zone
from app.workspace import names
from app.workspace.names import Invalid, NotFound
from app.workspace.tables import WorkspaceRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A tenant. `timezone` is where its days and months begin."""

    workspace_id: UUID
    name: str
    timezone: str
    managed_by: str
    archived_at: datetime | None = None


def create(name: str, *, timezone: str = "UTC", managed_by: str = "console") -> UUID:
    """Make a workspace; raise `Invalid` for a bad or taken name or an unknown time zone."""
    names.check("name", name)
    check_timezone(timezone)
    if by_name(name):
        raise Invalid("name", f"there is a workspace {name!r} already")
    workspace_id = new_id()
    with transaction(workspace_id) as session:
        session.add(WorkspaceRow(workspace_id=workspace_id, name=name, timezone=timezone, managed_by=managed_by))
    return workspace_id


def by_name(name: str) -> Workspace | None:
    """Find a workspace of the platform, archived ones included."""
    return next((workspace for workspace in all_of_platform() if workspace.name == name), None)


def all_of_platform() -> list[Workspace]:
    """List every workspace by name, the platform's own and archived ones included."""
    statement = text(
        "select workspace_id, name, timezone, managed_by, archived_at from platform_summary() order by name"
    )
    with transaction(PLATFORM_ID) as session:
        return [Workspace(**row) for row in session.execute(statement).mappings()]


def set_timezone(workspace_id: UUID, timezone: str) -> None:
    """Move the workspace's days and months. Its keys carry the zone to the proxies: call `keys.refresh` too."""
    check_timezone(timezone)
    _set(workspace_id, timezone=timezone)


def archive(workspace_id: UUID, *, now: datetime) -> None:
    """Close a workspace; its rows stay for the bill. Its keys must learn of it: call `keys.refresh` too."""
    _set(workspace_id, archived_at=now)


def revive(workspace_id: UUID) -> None:
    """Open an archived workspace again. Its keys must learn of it: call `keys.refresh` too."""
    _set(workspace_id, archived_at=None)


def check_timezone(name: str) -> str:
    """Give the zone's name back, or raise `Invalid` when there is no such zone."""
    try:
        zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid("timezone", f"there is no time zone {name!r}; use an IANA name such as Europe/Berlin") from error
    return name


def _set(workspace_id: UUID, **values: object) -> None:
    with transaction(workspace_id) as session:
        statement = update(WorkspaceRow).where(WorkspaceRow.workspace_id == workspace_id).values(**values)
        if not session.execute(statement.returning(WorkspaceRow.workspace_id)).first():
            raise NotFound(f"there is no workspace {workspace_id}")
