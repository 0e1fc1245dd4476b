"""The audit trail as people read it: what the worker has numbered and what still waits for it, newest first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Select, literal, or_, select, tuple_, union_all

from app.extensions import transaction
from app.logging.tables import EntryRow, OutboxRow
from app.units import instant_of

COLUMNS = (
    "occurred_at",
    "audit_id",
    "actor_kind",
    "actor_id",
    "actor_name",
    "actor_role",
    "action",
    "object_kind",
    "object_id",
    "object_name",
    "before",
    "after",
    "outcome",
    "reason",
    "ip",
    "user_agent",
    "request_id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that was done or refused. `seq` None: the worker has not numbered it yet."""

    seq: int | None
    occurred_at: datetime
    audit_id: UUID
    actor_kind: str
    actor_id: str | None
    actor_name: str
    actor_role: str | None
    action: str
    object_kind: str
    object_id: str
    object_name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    outcome: str
    reason: str | None
    ip: str | None
    user_agent: str | None
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries a list shows: names hold these texts, instants lie in [`since`, `until`)."""

    actor: str = ""
    action: str = ""
    kind: str = ""
    name: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


def listed(workspace_id: UUID, wanted: Wanted, *, after: UUID | None, limit: int) -> list[Entry]:
    """List the wanted entries that are older than `after`, at most `limit` of them."""
    halves = [
        _wanted(source, workspace_id, wanted, after).order_by(*_newest(source)).limit(limit).subquery()
        for source in (OutboxRow, EntryRow)
    ]
    both = union_all(*(select(half) for half in halves)).subquery()
    statement = select(both).order_by(both.c.occurred_at.desc(), both.c.audit_id.desc()).limit(limit)
    with transaction(workspace_id) as session:
        return [Entry(**row) for row in session.execute(statement).mappings()]


def get(workspace_id: UUID, audit_id: UUID) -> Entry | None:
    """Read one entry, numbered or waiting; None when the workspace has none of this id."""
    try:
        occurred_at = instant_of(audit_id)
    except OverflowError:
        return None
    halves = [
        _columns(source).where(
            source.workspace_id == workspace_id, source.occurred_at == occurred_at, source.audit_id == audit_id
        )
        for source in (OutboxRow, EntryRow)
    ]
    with transaction(workspace_id) as session:
        row = session.execute(union_all(*halves)).mappings().first()
        return Entry(**row) if row else None


Source = type[OutboxRow] | type[EntryRow]


def _columns(source: Source) -> Select[Any]:
    seq = source.seq if source is EntryRow else literal(None, BigInteger).label("seq")
    return select(seq, *(getattr(source, name) for name in COLUMNS))


def _newest(source: Source) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return source.occurred_at.desc(), source.audit_id.desc()


def _wanted(source: Source, workspace_id: UUID, wanted: Wanted, after: UUID | None) -> Select[Any]:
    statement = _columns(source).where(source.workspace_id == workspace_id)
    if after:
        # The instant alone comes first, so that months before it are all that is looked at.
        statement = statement.where(source.occurred_at <= instant_of(after))
        statement = statement.where(tuple_(source.occurred_at, source.audit_id) < (instant_of(after), after))
    if wanted.since:
        statement = statement.where(source.occurred_at >= wanted.since)
    if wanted.until:
        statement = statement.where(source.occurred_at < wanted.until)
    return statement.where(*_about(source, wanted))


def _about(source: Source, wanted: Wanted) -> list[ColumnElement[bool]]:
    """Say who, what and how, as far as it is asked for."""
    found: list[ColumnElement[bool]] = []
    if wanted.actor:
        found.append(or_(_holds(source.actor_name, wanted.actor), source.actor_id == wanted.actor))
    if wanted.action:
        found.append(_holds(source.action, wanted.action))
    if wanted.kind:
        found.append(source.object_kind == wanted.kind)
    if wanted.name:
        found.append(or_(_holds(source.object_name, wanted.name), source.object_id == wanted.name))
    if wanted.outcome:
        found.append(source.outcome == wanted.outcome)
    return found


def _holds(column: Any, text: str) -> ColumnElement[bool]:
    held: ColumnElement[bool] = column.icontains(text, autoescape=True)
    return held
