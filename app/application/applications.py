"""Applications: the client programs of a workspace. Their names are unique in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select

from app.application.tables import ApplicationRow, KeyRow
from app.extensions import transaction
from app.logging import audit
from app.units import new_id
from app.workspace import names, pages, revisions, twins
from app.workspace.names import Invalid, NotFound

COST_CENTRE_LONGEST = 100
MOST_TAGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A client program; its cost goes to `cost_centre`."""

    application_id: UUID
    name: str
    cost_centre: str | None
    managed_by: str
    archived_at: datetime | None
    tags: dict[str, str] = field(default_factory=dict)


def create(  # noqa: PLR0913 - an application is all of this
    workspace_id: UUID,
    name: str,
    *,
    cost_centre: str | None = None,
    tags: Mapping[str, str] | None = None,
    managed_by: str = "console",
    application_id: UUID | None = None,
) -> UUID:
    """Make an application; raise `Invalid` for a bad or taken name. One that has the id already stays as it is."""
    names.check("name", name)
    check_cost_centre(cost_centre)
    row = ApplicationRow(workspace_id=workspace_id, application_id=application_id or new_id(), name=name)
    row.cost_centre, row.managed_by, row.tags = cost_centre, managed_by, check_tags(tags or {})
    with transaction(workspace_id) as session, names.unique("an application", name):
        twins.wait(session, row.application_id)
        if session.get(ApplicationRow, (workspace_id, row.application_id)):
            return row.application_id
        session.add(row)
        session.flush()
        after = {"cost_centre": cost_centre, "tags": row.tags, "managed_by": managed_by}
        audit.record("application.create", kind="application", id=row.application_id, name=name, after=after)
        return row.application_id


def get(workspace_id: UUID, application_id: UUID) -> Application:
    """Read one application; raise `NotFound`."""
    with transaction(workspace_id) as session:
        row = session.get(ApplicationRow, (workspace_id, application_id))
        if row is None:
            raise NotFound(f"there is no application {application_id}")
        return _value(row)


def page(
    workspace_id: UUID, *, search: str = "", after: str | None = None, archived: bool = False
) -> pages.Page[Application]:
    """List a page of the open or the archived applications by name, those whose name holds `search`."""
    is_archived = ApplicationRow.archived_at.is_not(None) if archived else ApplicationRow.archived_at.is_(None)
    statement = select(ApplicationRow).where(ApplicationRow.workspace_id == workspace_id, is_archived)
    with transaction(workspace_id) as session:
        rows = session.scalars(pages.by_name(statement, ApplicationRow.name, search=search, after=after))
        return pages.cut([_value(row) for row in rows], lambda one: one.name)


def edit(
    workspace_id: UUID, application_id: UUID, *, name: str, cost_centre: str | None, tags: Mapping[str, str]
) -> None:
    """Change what people may change; raise `Invalid` for a bad or taken name."""
    names.check("name", name)
    check_cost_centre(cost_centre)
    values = {"name": name, "cost_centre": cost_centre, "tags": check_tags(tags)}
    with transaction(workspace_id), names.unique("an application", name):
        _set(workspace_id, application_id, "update", **values)


def by_name(workspace_id: UUID, name: str) -> Application | None:
    """Find an application, archived ones included."""
    return next((found for found in all_of(workspace_id) if found.name == name), None)


def all_of(workspace_id: UUID) -> list[Application]:
    """List a workspace's applications by name, archived ones included."""
    statement = select(ApplicationRow).where(ApplicationRow.workspace_id == workspace_id)
    with transaction(workspace_id) as session:
        return [_value(row) for row in session.scalars(statement.order_by(ApplicationRow.name))]


def update(workspace_id: UUID, application_id: UUID, *, cost_centre: str | None) -> None:
    """Send the application's cost elsewhere; None is nowhere."""
    check_cost_centre(cost_centre)
    with transaction(workspace_id):
        _set(workspace_id, application_id, "update", cost_centre=cost_centre)


def archive(workspace_id: UUID, application_id: UUID, *, now: datetime) -> None:
    """Close an application: its keys stop working, its rows stay for the bill."""
    with transaction(workspace_id):
        _set(workspace_id, application_id, "archive", archived_at=now)
        _tell_keys(workspace_id, application_id)


def revive(workspace_id: UUID, application_id: UUID) -> None:
    """Open an archived application again, with those of its keys that were not revoked."""
    with transaction(workspace_id):
        _set(workspace_id, application_id, "revive", archived_at=None)
        _tell_keys(workspace_id, application_id)


def check_cost_centre(cost_centre: str | None) -> None:
    """Raise `Invalid` for one that cannot be stored; None is none."""
    if cost_centre is None:
        return
    names.check("cost_centre", cost_centre)
    if len(cost_centre) > COST_CENTRE_LONGEST:
        raise Invalid("cost_centre", f"must have at most {COST_CENTRE_LONGEST} characters")


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Give the tags back, or raise `Invalid` for too many or for one that cannot be stored."""
    if len(tags) > MOST_TAGS:
        raise Invalid("tags", f"has more than {MOST_TAGS} tags")
    return {names.check("tags", tag): names.check("tags", value) for tag, value in tags.items()}


def _value(row: ApplicationRow) -> Application:
    return Application(
        application_id=row.application_id,
        name=row.name,
        cost_centre=row.cost_centre,
        managed_by=row.managed_by,
        archived_at=row.archived_at,
        tags=dict(row.tags),
    )


def _set(workspace_id: UUID, application_id: UUID, action: str, **values: Any) -> None:
    with transaction(workspace_id) as session:
        row = session.get(ApplicationRow, (workspace_id, application_id), with_for_update={"key_share": True})
        if row is None:
            raise NotFound(f"there is no application {application_id}")
        before = {column: getattr(row, column) for column in values}
        for column, value in values.items():
            setattr(row, column, value)
        session.flush()
        audit.record(
            f"application.{action}", kind="application", id=application_id, name=row.name, before=before, after=values
        )


def _tell_keys(workspace_id: UUID, application_id: UUID) -> None:
    """Whether a key works depends on its application, and proxies read keys by revision."""
    mine = (KeyRow.workspace_id == workspace_id, KeyRow.application_id == application_id)
    with transaction(workspace_id) as session:
        session.execute(sql.update(KeyRow).where(*mine).values(revision=revisions.bump_keys()))
