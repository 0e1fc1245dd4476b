"""Keys in pages, the newest first: those of a workspace, of one application, and those that may be stale."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select

from app.application import keys
from app.application.keys import Key
from app.application.tables import ApplicationRow, KeyIndexRow, KeyRow
from app.extensions import transaction
from app.workspace import pages
from app.workspace.names import NotFound
from app.workspace.pages import Page

STATES = ("active", "revoked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which keys a list shows. `only`: no others than these; None: all."""

    search: str = ""
    state: str = "active"
    application_id: UUID | None = None
    only: Collection[UUID] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A key with its application, None for one without. Until `old_until` an old secret works beside the new one."""

    key: Key
    application: str | None
    application_archived: bool
    old_until: datetime | None


def get(workspace_id: UUID, key_id: UUID, *, now: datetime) -> Listed:
    """Read one key with what belongs to it, in one statement; raise `NotFound`."""
    statement = _joined(select(*_columns(now))).where(KeyRow.workspace_id == workspace_id, KeyRow.key_id == key_id)
    with transaction(workspace_id) as session:
        row = session.execute(statement).first()
        if row is None:
            raise NotFound(f"there is no key {key_id}")
        return _listed(*row)


def page(workspace_id: UUID, wanted: Wanted, *, now: datetime, after: UUID | None = None) -> Page[Listed]:
    """List a page of the wanted keys; `search` looks in the name, the application's name and the shown parts."""
    statement = _wanted(select(*_columns(now)), workspace_id, wanted)
    if after:
        statement = statement.where(KeyRow.key_id < after)
    statement = statement.order_by(KeyRow.key_id.desc()).limit(pages.SIZE + 1)
    with transaction(workspace_id) as session:
        rows = [_listed(*row) for row in session.execute(statement)]
    return pages.cut(rows, lambda one: str(one.key.key_id))


def made_before(workspace_id: UUID, wanted: Wanted, instant: datetime) -> list[UUID]:
    """Name the wanted keys that are old enough to be stale, in the order of the list."""
    statement = _wanted(select(KeyRow.key_id), workspace_id, wanted).where(KeyRow.created_at < instant)
    with transaction(workspace_id) as session:
        return list(session.scalars(statement.order_by(KeyRow.key_id.desc())))


def count_by_application(workspace_id: UUID, application_ids: Collection[UUID]) -> dict[UUID, int]:
    """Count the active keys of some applications; none is not listed."""
    mine = (KeyRow.workspace_id == workspace_id, KeyRow.state == "active", KeyRow.application_id.in_(application_ids))
    statement = select(KeyRow.application_id, func.count()).where(*mine).group_by(KeyRow.application_id)
    with transaction(workspace_id) as session:
        return {application_id: count for application_id, count in session.execute(statement) if application_id}


def _columns(now: datetime) -> tuple[Any, ...]:
    mine = (KeyIndexRow.workspace_id == KeyRow.workspace_id, KeyIndexRow.key_id == KeyRow.key_id)
    until = select(func.max(KeyIndexRow.valid_until)).where(*mine, KeyIndexRow.valid_until > now).scalar_subquery()
    return KeyRow, ApplicationRow.name, ApplicationRow.archived_at, until


def _listed(row: KeyRow, application: str | None, archived_at: datetime | None, old_until: datetime | None) -> Listed:
    return Listed(
        key=keys.value(row),
        application=application,
        application_archived=archived_at is not None,
        old_until=old_until,
    )


def _joined(statement: Any) -> Any:
    same = (ApplicationRow.workspace_id == KeyRow.workspace_id) & (
        ApplicationRow.application_id == KeyRow.application_id
    )
    return statement.select_from(KeyRow).outerjoin(ApplicationRow, same)


def _wanted(statement: Any, workspace_id: UUID, wanted: Wanted) -> Any:
    statement = _joined(statement).where(KeyRow.workspace_id == workspace_id, KeyRow.state == wanted.state)
    if wanted.search:
        columns = (KeyRow.name, ApplicationRow.name, KeyRow.prefix, KeyRow.last4, KeyRow.token_value)
        statement = statement.where(or_(*(column.icontains(wanted.search, autoescape=True) for column in columns)))
    if wanted.application_id:
        statement = statement.where(KeyRow.application_id == wanted.application_id)
    if wanted.only is not None:
        statement = statement.where(KeyRow.key_id.in_(wanted.only))
    return statement
