"""Measure what makes the bill over what `fill.py` made: recompute, check, month-end and rebuild.

usage: with the environment of an installation that was filled: bill.py

Works on the workspace with the most calls, through the services and steps that the console and the worker use.
The recompute is applied after its dry run; last month, if it is open, is closed. Memory is the most that the
step's process held.
"""

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app import create_app  # noqa: E402
from app.billing import closing, period_view, periods, rating_runs, rating_steps, rebuild  # noqa: E402
from app.units import new_id, utc_now  # noqa: E402

REASON = "measured"


def main() -> None:
    workspace_id = busiest()
    now = utc_now()
    since = now - timedelta(days=400)
    print(f"{'step':<24} {'seconds':>8} {'MB':>6}")
    dry_run, applied = new_id(), new_id()
    _measure("dry run", lambda: _try_out(workspace_id, dry_run, since, now))
    _measure("apply", lambda: _apply(workspace_id, dry_run, applied))
    _measure("month's page, open", lambda: _view(workspace_id, now))
    _measure("close last month", lambda: _close(workspace_id, now))
    _measure("rebuild", lambda: _rebuild(workspace_id))


def busiest() -> UUID:
    """Find the workspace with the most calls."""
    query = "select workspace_id from rollup_day group by 1 order by sum(requests) desc limit 1"
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as connection:
        found = connection.execute(query).fetchone()
    assert found, "there are no calls: run fill.py"
    return UUID(str(found[0]))


def _measure(name: str, work: Callable[[], object]) -> None:
    """Do it in a process of its own, so that its memory is its own."""
    child = multiprocessing.get_context("fork").Process(target=_timed, args=(name, work))
    child.start()
    child.join()
    if child.exitcode:
        sys.exit(f"{name} failed")


def _timed(name: str, work: Callable[[], object]) -> None:
    began = time.monotonic()
    work()
    seconds = time.monotonic() - began
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:<24} {seconds:8.2f} {megabytes:6.0f}", flush=True)


def _try_out(workspace_id: UUID, run_id: UUID, since: datetime, until: datetime) -> None:
    with create_app().app_context():
        rating_runs.try_out(workspace_id, since, until, REASON, run_id=run_id)
    _go_through(run_id)


def _apply(workspace_id: UUID, dry_run: UUID, run_id: UUID) -> None:
    with create_app().app_context():
        rating_runs.apply(workspace_id, dry_run, run_id=run_id)
    _go_through(run_id)


def _go_through(run_id: UUID) -> None:
    with psycopg.connect(os.environ["DATABASE_INGEST_URL"], autocommit=True) as database:
        while rating_steps.step(database, rating_steps.read(database, run_id), now=utc_now()):
            pass


def _view(workspace_id: UUID, now: datetime) -> None:
    with create_app().app_context():
        period_view.of(workspace_id, periods.before(periods.running(workspace_id, now)), now=now)


def _close(workspace_id: UUID, now: datetime) -> None:
    with create_app().app_context():
        month = periods.before(periods.running(workspace_id, now))
        if periods.get(workspace_id, month).state == periods.OPEN:
            closing.draft(workspace_id, month, now=now)
        closing.close(workspace_id, month, now=now, unpriced_confirmed=True)


def _rebuild(workspace_id: UUID) -> None:
    with psycopg.connect(os.environ["DATABASE_INGEST_URL"], autocommit=True) as database:
        rebuild.rebuild(workspace_id, database=database)


if __name__ == "__main__":
    main()
