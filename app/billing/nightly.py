"""The nightly check: each workspace's yesterday is rated again and must come to the same, to the last digit."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import psycopg

from app.billing import rollup_zones
from app.units import start_of_day

AFTER_MIDNIGHT = timedelta(hours=2)
"""By then calls of the day before are settled, and in the ledger."""
REASON = "nightly check"

_CHECKS = UUID("6f0c1c55-6a0e-5f1a-9d4c-0a1f6f6c2b11")
_ZONES = "select distinct timezone from rollup_zone"
# A day without a row of its own had no calls, and there is nothing to check.
_DUE = """
    select z.workspace_id from rollup_zone z
    where z.timezone = %s and exists (
        select 1 from rollup_day d where d.workspace_id = z.workspace_id and d.day_start >= %s and d.day_start < %s)
    and not exists (select 1 from rating_run r where r.workspace_id = z.workspace_id and r.kind = 'check' and r.since = %s)"""
_ADD = """
    insert into rating_run (workspace_id, run_id, kind, since, until, reason)
    select workspace_id, %s, 'check', %s, %s, %s from workspace where workspace_id = %s on conflict do nothing"""


def order(database: psycopg.Connection, now: datetime) -> int:
    """Order the checks that are due: of the last day that has ended, two hours ago or more, where the workspace is."""
    zones = [timezone for (timezone,) in database.execute(_ZONES)]
    return sum(_order(database, timezone, *yesterday(rollup_zones.load(timezone), now)) for timezone in zones)


def yesterday(in_zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    """Find the day to check: its first instant and the next day's."""
    today = (now - AFTER_MIDNIGHT).astimezone(in_zone).date()
    return start_of_day(today - timedelta(days=1), in_zone), start_of_day(today, in_zone)


def _order(database: psycopg.Connection, timezone: str, start: datetime, end: datetime) -> int:
    due: Iterable[tuple[UUID]] = database.execute(_DUE, [timezone, start, end, start]).fetchall()
    ordered = 0
    for (workspace_id,) in due:
        # Two workers that look at the same time order the same check.
        run_id = uuid5(_CHECKS, f"{workspace_id} {start.isoformat()}")
        ordered += database.execute(_ADD, [run_id, start, end, REASON, workspace_id]).rowcount
    return ordered
