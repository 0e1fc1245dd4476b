"""Measure exports of a filled workspace: rows a second, and how far memory grows.

usage: DATABASE_URL=… DATABASE_INGEST_URL=… REDIS_URL=… SECRET_KEY=… GATEWAY_HOME=… exports.py WORKSPACE

`fill.py` fills a workspace and prints its id. Each kind and format is made by the job itself, all columns, from
the first call to now. FOCUS and daily usage are measured in calls, since their rows are sums of them. Beside them stands
what PostgreSQL takes for a plain COPY of the ledger's rows, unsorted, read and thrown away: a measure of the machine and
of its load.
"""

import resource
import sys
import time
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.billing import export_files, export_jobs, export_what, exports  # noqa: E402
from app.billing.export_what import What  # noqa: E402
from app.config import Settings  # noqa: E402
from app.units import new_id, utc_now  # noqa: E402

DAYS = 57
KINDS = [
    ("calls", "csv-machine", False),
    ("calls", "csv-spreadsheet", False),
    ("calls", "csv-machine", True),
    ("calls", "jsonl", False),
    ("daily", "csv-machine", False),
    ("focus", "csv-machine", False),
]


class Yardstick(NamedTuple):
    """How many calls there are, and how many seconds a plain COPY of them takes."""

    calls: int
    copy_s: float


def main(workspace_id: UUID) -> None:
    """Make every kind of file once and print a line for each."""
    settings = Settings.read()
    last = utc_now().date()
    with psycopg.connect(settings.database_ingest_url, autocommit=True) as connection:
        counted = "select count(*) from usage_event where workspace_id = %s"
        calls = (connection.execute(counted, [workspace_id]).fetchone() or (0,))[0]
        copy_s = _plain_copy(settings, workspace_id)
        print(f"{'a plain COPY':28} {calls:>9,} rows {'':11} {copy_s:>6.2f} s {calls / copy_s:>10,.0f} rows/s")
        for kind, form, packed in KINDS:
            what = What(kind=kind, format=form, gzip=packed, first=last - timedelta(days=DAYS), last=last)
            _measure(connection, settings, workspace_id, export_what.checked(what), Yardstick(calls, copy_s))


def _plain_copy(settings: Settings, workspace_id: UUID) -> float:
    """Read the ledger's rows as they are; answer how many seconds that took."""
    with psycopg.connect(settings.database_url) as connection:
        exports.enter(connection, workspace_id)
        started_s = time.perf_counter()
        asked = "copy (select * from usage_event where workspace_id = {}) to stdout (format csv)"
        with connection.cursor().copy(sql.SQL(asked).format(workspace_id)) as copy:
            deque(copy, maxlen=0)
        return time.perf_counter() - started_s


def _measure(
    connection: psycopg.Connection, settings: Settings, workspace_id: UUID, what: What, beside: Yardstick
) -> None:
    export_id = new_id()
    values = [workspace_id, export_id, Jsonb(what.stored()), utc_now()]
    connection.execute("insert into export_job (workspace_id, export_id, what, as_of) values (%s, %s, %s, %s)", values)
    started_s, used_s = time.perf_counter(), time.process_time()
    export_jobs.run(str(export_id))
    took_s, used_s = time.perf_counter() - started_s, time.process_time() - used_s
    row = connection.execute("select rows_done, bytes from export_job where export_id = %s", [export_id]).fetchone()
    rows, size = row or (0, 0)
    done = rows if what.kind == "calls" else beside.calls
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    name = f"{what.kind} {what.format}{' gzip' if what.gzip else ''}"
    print(
        f"{name:28} {rows:>9,} rows {size / 1e6:>8.1f} MB {took_s:>6.2f} s"
        f" {done / took_s:>10,.0f} {'rows' if what.kind == 'calls' else 'calls'}/s  {took_s / beside.copy_s:.1f} COPYs"
        f"  {used_s:.2f} s in this process  peak {peak} MB"
    )
    export_files.delete(export_files.path_of(settings.home, export_files.name_of(workspace_id, export_id, what)))


if __name__ == "__main__":
    main(UUID(sys.argv[1]))
