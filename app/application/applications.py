"""Applications: the client programs of a workspace. Their names are unique in it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select

from app.application.tables import ApplicationRow, KeyRow
from app.extensions import transaction
from app.units import new_id
from app.workspace import names, revisions
from app.workspace.names import Invalid, NotFound

COST_CENTRE_LONGEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A client program; its cost goes to `cost_centre`."""

    application_id: UUID
    name: str
    cost_centre: str | None
    managed_by: str
    archived_at: datetime | None


def create(workspace_id: UUID, name: str, *, cost_centre: str | None = None, managed_by: str = "console") -> UUID:
    """Make an application; raise `Invalid` for a bad or taken name."""
    names.check("name", name)
    check_cost_centre(cost_centre)
    with transaction(workspace_id) as session:
        if by_name(workspace_id, name):
            raise Invalid("name", f"there is an application {name!r} already")
        row = ApplicationRow(workspace_id=workspace_id, application_id=new_id(), name=name)
        row.cost_centre, row.managed_by = cost_centre, managed_by
        session.add(row)
        return row.application_id


def by_name(workspace_id: UUID, name: str) -> Application | None:
    """Find an application, archived ones included."""
    return next((found for found in all_of(workspace_id) if found.name == name), None)


def all_of(workspace_id: UUID) -> list[Application]:
    """List a workspace's applications by name, archived ones included."""
    columns = (ApplicationRow.application_id, ApplicationRow.name, ApplicationRow.cost_centre)
    statement = select(*columns, ApplicationRow.managed_by, ApplicationRow.archived_at)
    with transaction(workspace_id) as session:
        rows = session.execute(
            statement.where(ApplicationRow.workspace_id == workspace_id).order_by(ApplicationRow.name)
        )
        return [Application(**row) for row in rows.mappings()]


def update(workspace_id: UUID, application_id: UUID, *, cost_centre: str | None) -> None:
    """Send the application's cost elsewhere; None is nowhere."""
    check_cost_centre(cost_centre)
    with transaction(workspace_id):
        _set(workspace_id, application_id, cost_centre=cost_centre)


def archive(workspace_id: UUID, application_id: UUID, *, now: datetime) -> None:
    """Close an application: its keys stop working, its rows stay for the bill."""
    with transaction(workspace_id):
        _set(workspace_id, application_id, archived_at=now)
        _tell_keys(workspace_id, application_id)


def revive(workspace_id: UUID, application_id: UUID) -> None:
    """Open an archived application again, with those of its keys that were not revoked."""
    with transaction(workspace_id):
        _set(workspace_id, application_id, archived_at=None)
        _tell_keys(workspace_id, application_id)


def check_cost_centre(cost_centre: str | None) -> None:
    """Raise `Invalid` for one that cannot be stored; None is none."""
    if cost_centre is None:
        return
    names.check("cost_centre", cost_centre)
    if len(cost_centre) > COST_CENTRE_LONGEST:
        raise Invalid("cost_centre", f"must have at most {COST_CENTRE_LONGEST} characters")


def _set(workspace_id: UUID, application_id: UUID, **values: object) -> None:
    mine = (ApplicationRow.workspace_id == workspace_id, ApplicationRow.application_id == application_id)
    statement = sql.update(ApplicationRow).where(*mine).values(**values).returning(ApplicationRow.application_id)
    with transaction(workspace_id) as session:
        if not session.execute(statement).first():
            raise NotFound(f"there is no application {application_id}")


def _tell_keys(workspace_id: UUID, application_id: UUID) -> None:
    """Whether a key works depends on its application, and proxies read keys by revision."""
    mine = (KeyRow.workspace_id == workspace_id, KeyRow.application_id == application_id)
    with transaction(workspace_id) as session:
        session.execute(sql.update(KeyRow).where(*mine).values(revision=revisions.bump_keys()))
