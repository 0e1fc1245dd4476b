"""Schedules: exports that order themselves after each local day, week or month, an hour after its end.

The hour lets late events come in. What is missed while no worker runs is made up for, in order, each once.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.billing import export_what
from app.billing.export_tables import ScheduleRow
from app.billing.export_what import What
from app.extensions import transaction
from app.logging import audit
from app.units import start_of_day, zone
from app.workspace import names, workspaces
from app.workspace.names import Invalid, NotFound

PAUSE = timedelta(hours=1)
"""How long after the end of its days an export is made."""
MOST = 50
MONDAY = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A repeated order. The days in `what` are those of no file: each takes its own from when it is made."""

    schedule_id: UUID
    workspace_id: UUID
    name: str
    what: What
    every: str
    next_at: datetime
    enabled: bool
    created_by: UUID


def create(  # noqa: PLR0913 - a schedule is all of this
    workspace_id: UUID, name: str, what: What, every: str, *, schedule_id: UUID, by: UUID, now: datetime
) -> UUID:
    """Schedule an export; raise `Invalid`. One that has the id stays."""
    names.check("name", name)
    if every not in export_what.EVERY:
        raise Invalid("every", f"must be one of {', '.join(export_what.EVERY)}")
    what = export_what.checked(what)
    with transaction(workspace_id) as session:
        if session.get(ScheduleRow, (workspace_id, schedule_id)):
            return schedule_id
        if len(_of(session, workspace_id)) >= MOST:
            raise Invalid("name", f"cannot be added: a workspace has at most {MOST} schedules")
        in_zone = _zone(workspace_id)
        row = ScheduleRow(workspace_id=workspace_id, schedule_id=schedule_id, name=name, what=what.stored())
        row.every, row.created_by, row.next_at = every, by, next_at(every, now, in_zone)
        session.add(row)
        with names.unique("a schedule", name):
            session.flush()
        told = {"every": every, "kind": what.kind, "format": what.format, "gzip": what.gzip}
        audit.record("export_schedule.create", kind="export_schedule", id=schedule_id, name=name, after=told)
    return schedule_id


def set_enabled(workspace_id: UUID, schedule_id: UUID, enabled: bool, *, now: datetime) -> None:
    """Pause a schedule, or let it go on from now; raise `NotFound`. What it missed meanwhile is not made up for."""
    with transaction(workspace_id) as session:
        row = _row(session, workspace_id, schedule_id)
        before = {"enabled": row.enabled}
        if enabled and not row.enabled:
            row.next_at = next_at(row.every, now, _zone(workspace_id))
        row.enabled = enabled
        session.flush()
        audit.record(
            "export_schedule.update",
            kind="export_schedule",
            id=schedule_id,
            name=row.name,
            before=before,
            after={"enabled": enabled},
        )


def delete(workspace_id: UUID, schedule_id: UUID) -> None:
    """Delete a schedule; its files stay as long as they would. Raise `NotFound`."""
    with transaction(workspace_id) as session:
        row = _row(session, workspace_id, schedule_id)
        told = {"every": row.every, "kind": row.what["kind"]}
        session.delete(row)
        audit.record("export_schedule.delete", kind="export_schedule", id=schedule_id, name=row.name, before=told)


def of(workspace_id: UUID) -> list[Schedule]:
    """List the schedules by name."""
    with transaction(workspace_id) as session:
        return [_value(row) for row in _of(session, workspace_id)]


def next_at(every: str, now: datetime, in_zone: ZoneInfo) -> datetime:
    """Find when the next export is made: an hour after the next day, week (from Monday) or month has begun."""
    day = (now - PAUSE).astimezone(in_zone).date() + timedelta(days=1)
    while not _begins(every, day):
        day += timedelta(days=1)
    return start_of_day(day, in_zone) + PAUSE


def due(what: What, every: str, at: datetime, in_zone: ZoneInfo) -> What:
    """Say what an export holds that is made at an instant: the days that have just ended."""
    first, last = export_what.last_days(every, (at - PAUSE).astimezone(in_zone).date())
    return replace(what, first=first, last=last)


def _begins(every: str, day: date) -> bool:
    return {"day": True, "week": day.weekday() == MONDAY, "month": day.day == 1}[every]


def _of(session: Session, workspace_id: UUID) -> list[ScheduleRow]:
    mine = select(ScheduleRow).where(ScheduleRow.workspace_id == workspace_id)
    return list(session.scalars(mine.order_by(ScheduleRow.name)))


def _row(session: Session, workspace_id: UUID, schedule_id: UUID) -> ScheduleRow:
    row = session.get(ScheduleRow, (workspace_id, schedule_id), with_for_update=True)
    if row is None:
        raise NotFound(f"there is no schedule {schedule_id}")
    return row


def _zone(workspace_id: UUID) -> ZoneInfo:
    return zone(workspaces.terms(workspace_id).timezone)


def _value(row: ScheduleRow) -> Schedule:
    kept = [name for name in Schedule.__dataclass_fields__ if name != "what"]
    return Schedule(what=export_what.of(row.what), **{name: getattr(row, name) for name in kept})
