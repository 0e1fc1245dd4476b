"""Workspaces: the tenants. Names are unique over the whole platform."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfoNotFoundError

from sqlalchemy import select, text

from app.extensions import transaction
from app.logging import audit
from app.networks import NO_NETWORKS, Networks
from app.units import PLATFORM_ID, new_id, zone
from app.workspace import names, pages, twins
from app.workspace.names import Invalid, NotFound
from app.workspace.tables import WorkspaceRow

MOST_NETWORKS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a workspace's bills go by."""

    timezone: str
    currency: str
    po_number: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A tenant. `timezone` is where its days and months begin."""

    workspace_id: UUID
    name: str
    timezone: str
    managed_by: str
    archived_at: datetime | None = None
    networks: Networks = NO_NETWORKS
    """Where its console pages and its keys may be used from; none: anywhere. Lists of workspaces leave it out."""

    @classmethod
    def of(cls, row: WorkspaceRow) -> "Workspace":
        """Take what people see from a row."""
        return cls(
            workspace_id=row.workspace_id,
            name=row.name,
            timezone=row.timezone,
            managed_by=row.managed_by,
            archived_at=row.archived_at,
            networks=Networks.of(str(one) for one in row.networks),
        )


def create(name: str, *, timezone: str = "UTC", managed_by: str = "console", workspace_id: UUID | None = None) -> UUID:
    """Make a workspace; raise `Invalid` for a bad or taken name or an unknown time zone. One that has the id stays."""
    names.check("name", name)
    check_timezone(timezone)
    workspace_id = workspace_id or new_id()
    with transaction(workspace_id) as session, names.unique("a workspace", name):
        twins.wait(session, workspace_id)
        if session.get(WorkspaceRow, workspace_id):
            return workspace_id
        if by_name(name):
            raise Invalid("name", f"there is a workspace {name!r} already")
        session.add(WorkspaceRow(workspace_id=workspace_id, name=name, timezone=timezone, managed_by=managed_by))
        session.flush()
        audit.record(
            "workspace.create", kind="workspace", id=workspace_id, name=name, after={"name": name, "timezone": timezone}
        )
    return workspace_id


def get(workspace_id: UUID) -> Workspace:
    """Read one workspace; raise `NotFound`."""
    with transaction(workspace_id) as session:
        row = session.get(WorkspaceRow, workspace_id)
        if row is None:
            raise NotFound(f"there is no workspace {workspace_id}")
        return Workspace.of(row)


def terms(workspace_id: UUID) -> Terms:
    """Read what the workspace's bills go by; raise `NotFound`."""
    row = WorkspaceRow
    asked = select(row.timezone, row.currency, row.po_number, row.created_at).where(row.workspace_id == workspace_id)
    with transaction(workspace_id) as session:
        found = session.execute(asked).one_or_none()
        if found is None:
            raise NotFound(f"there is no workspace {workspace_id}")
        return Terms(**found._mapping)  # noqa: SLF001 - SQLAlchemy's name for something public


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


def page(*, search: str = "", after: str | None = None, archived: bool = False) -> pages.Page[Workspace]:
    """List a page of the platform's open or archived workspaces by name, those whose name holds `search`."""
    statement = text(
        "select workspace_id, name, timezone, managed_by, archived_at from platform_summary()"
        " where (archived_at is not null) = :archived and strpos(lower(name), lower(:search)) > 0"
        " and (cast(:after as text) is null or name > :after) order by name limit :limit"
    )
    asked = {"archived": archived, "search": search, "after": after, "limit": pages.SIZE + 1}
    with transaction(PLATFORM_ID) as session:
        rows = session.execute(statement, asked).mappings().all()
        return pages.cut([Workspace(**row) for row in rows], lambda one: one.name)


def rename(workspace_id: UUID, name: str) -> None:
    """Give the workspace another name; raise `Invalid` for a bad or taken one."""
    names.check("name", name)
    if workspace_id == PLATFORM_ID:
        raise Invalid("name", "is the platform's, which keeps it")
    with names.unique("a workspace", name):
        _set(workspace_id, "workspace.update", name=name)


def set_timezone(workspace_id: UUID, timezone: str) -> None:
    """Move the workspace's days and months. Its keys carry the zone to the proxies: call `keys.refresh` too."""
    check_timezone(timezone)
    _set(workspace_id, "workspace.update", timezone=timezone)


def set_networks(workspace_id: UUID, networks: Networks) -> None:
    """Say where the workspace may be used from. Its keys carry it to the proxies: call `keys.refresh` too."""
    if len(networks.members) > MOST_NETWORKS:
        raise Invalid("networks", f"are more than {MOST_NETWORKS}")
    _set(workspace_id, "workspace.update", networks=networks.texts())


def set_po_number(workspace_id: UUID, po_number: str | None) -> None:
    """Set the purchase order number that statements carry; None for none. Raise `Invalid` for a bad one."""
    check_po_number(po_number or "")
    _set(workspace_id, "workspace.update", po_number=po_number or None)


def check_po_number(po_number: str) -> None:
    """Raise `Invalid` unless it can be printed on a statement; empty is none."""
    if po_number:
        names.check("po_number", po_number)


def po_number(workspace_id: UUID) -> str | None:
    """Read the purchase order number that statements carry."""
    with transaction(workspace_id) as session:
        return session.scalar(select(WorkspaceRow.po_number).where(WorkspaceRow.workspace_id == workspace_id))


def archive(workspace_id: UUID, *, now: datetime) -> None:
    """Close a workspace; its rows stay for the bill. Its keys must learn of it: call `keys.refresh` too."""
    if workspace_id == PLATFORM_ID:
        raise Invalid("name", "is the platform's, which stays open")
    _set(workspace_id, "workspace.archive", archived_at=now)


def revive(workspace_id: UUID) -> None:
    """Open an archived workspace again. Its keys must learn of it: call `keys.refresh` too."""
    _set(workspace_id, "workspace.restore", archived_at=None)


def check_timezone(name: str) -> str:
    """Give the zone's name back, or raise `Invalid` when there is no such zone."""
    try:
        zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid("timezone", f"there is no time zone {name!r}; use an IANA name such as Europe/Berlin") from error
    return name


def _set(workspace_id: UUID, action: str, **values: object) -> None:
    with transaction(workspace_id) as session:
        row = session.get(WorkspaceRow, workspace_id, with_for_update=True)
        if row is None:
            raise NotFound(f"there is no workspace {workspace_id}")
        before = {column: _plain(getattr(row, column)) for column in values}
        for column, value in values.items():
            setattr(row, column, value)
        session.flush()
        audit.record(action, kind="workspace", id=workspace_id, name=row.name, before=before, after=values)


def _plain(value: object) -> object:
    """Write a column's value as the audit trail keeps it."""
    return [str(one) for one in value] if isinstance(value, list) else value
