"""The steps of a rating run, each a transaction: begin, a day of calls, the next day, the end.

A step that is lost is done again; one that is committed never is. A run that is cancelled stops after its step, whose
own work is undone; what earlier days replaced or corrected stays so.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from app.billing import corrections, ingest, rating_months, read_models, recompute, rollup_zones
from app.billing.recompute import Part
from app.units import bucket_of, day_of, start_of_day

DRY_RUN, APPLY, CHECK = "dry_run", "apply", "check"
WAITING, RUNNING, DONE, CANCELLED, FAILED = "waiting", "running", "done", "cancelled", "failed"
GOING = (WAITING, RUNNING)

_READ = """
    select workspace_id, run_id, kind, state, since, until, model_id, reason, calls, done_until, changed, delta
    from rating_run where run_id = %s"""
_BEGIN = """
    update rating_run r set state = 'running', calls = (
        select count(*) from usage_event u where u.workspace_id = r.workspace_id and u.occurred_at >= r.since
            and u.occurred_at < r.until and (r.model_id is null or u.model_id = r.model_id))
    where run_id = %s and state = 'waiting'"""
_FIRST = """
    select min(occurred_at) from usage_event where workspace_id = %s and occurred_at >= %s and occurred_at < %s
        and (%s::uuid is null or model_id = %s)"""
# Whoever cancels does not wait for a day to end, so the state is looked at again here.
_DAY_DONE = """
    update rating_run set calls_done = calls_done + %s, changed = changed + %s, delta = delta + %s, done_until = %s
    where run_id = %s and state = 'running' and done_until is not distinct from %s"""
_END = "update rating_run set state = %s, finished_at = %s where run_id = %s and state in ('waiting', 'running')"


class Run(NamedTuple):
    """A run as it stands; `done_until` is None until its first day is done."""

    workspace_id: UUID
    run_id: UUID
    kind: str
    state: str
    since: datetime
    until: datetime
    model_id: UUID | None
    reason: str
    calls: int
    done_until: datetime | None
    changed: int
    delta: Decimal


class Busy(Exception):
    """Ingest, a rebuild or somebody who closes a month has the workspace's ledger."""


class Overtaken(Exception):
    """The run was cancelled, or another process did this step."""


class WrongTotals(Exception):
    """The nightly check found that the ledger's charges or their sums are not what they must be."""


def read(database: psycopg.Connection, run_id: UUID) -> Run:
    """Find a run; raise `LookupError` when there is none."""
    with database.cursor(row_factory=class_row(Run)) as cursor:
        found = cursor.execute(_READ, [run_id]).fetchone()
    if found is None:
        raise LookupError("no rating run has this id")
    return found


def step(database: psycopg.Connection, run: Run, *, now: datetime) -> bool:
    """Do a run's next step; tell whether there is another one.

    Raises `Busy` and `Overtaken` with nothing done, and `WrongTotals` at the end of a check.
    """
    if run.state not in GOING:
        return False
    if run.state == WAITING:
        database.execute(_BEGIN, [run.run_id])
        return True
    with database.transaction():
        if run.kind != DRY_RUN and not ingest.lock(database, bucket_of(run.workspace_id)):
            raise Busy
        part = _next_day(database, run)
        if part is not None:
            _rate(database, run, part, now)
            return True
        wrong = _wrong(database, run)
        ended = database.execute(_END, [FAILED if wrong else DONE, now, run.run_id])
        if not ended.rowcount:
            raise Overtaken
    if wrong:
        raise WrongTotals(wrong)
    return False


def fail(database: psycopg.Connection, run_id: UUID, *, now: datetime) -> None:
    """End a run that cannot go on."""
    database.execute(_END, [FAILED, now, run_id])


def _next_day(database: psycopg.Connection, run: Run) -> Part | None:
    """Find the next day with calls, by the hours of the workspace's rollups; None when there is none."""
    start = run.done_until or run.since
    values = [run.workspace_id, start, run.until, run.model_id, run.model_id]
    row = database.execute(_FIRST, values).fetchone()
    if row is None or row[0] is None:
        return None
    in_zone = rollup_zones.of(database, [run.workspace_id])[run.workspace_id]
    next_day = row[0].astimezone(in_zone).date() + timedelta(days=1)
    return Part(run.workspace_id, max(start, row[0]), min(run.until, start_of_day(next_day, in_zone)), run.model_id)


def _rate(database: psycopg.Connection, run: Run, part: Part, now: datetime) -> None:
    months = rating_months.read(database, run.workspace_id)
    found = recompute.rate(database, part, months, run_id=run.run_id, replace=run.kind == APPLY)
    found.deltas.write(database, run.workspace_id, run.run_id)
    corrections.write(database, found.corrected, run.reason, now=now, run_id=run.run_id)
    values = [found.calls, found.changed, found.deltas.change, part.end, run.run_id, run.done_until]
    if not database.execute(_DAY_DONE, values).rowcount:
        raise Overtaken


def _wrong(database: psycopg.Connection, run: Run) -> str | None:
    """Say what a check found to be wrong; None for nothing, and for other runs."""
    if run.kind != CHECK:
        return None
    if run.changed:
        return f"{run.changed} calls cost otherwise than the ledger says"
    in_zone = rollup_zones.of(database, [run.workspace_id])[run.workspace_id]
    if any(day_of(one, in_zone) != one for one in (run.since, run.until)):
        return None  # the workspace has moved since: its rollups have other days
    names = read_models.wrong(database, run.workspace_id, run.since, run.until)
    return f"sums are not those of the ledger: {', '.join(names)}" if names else None
