"""The audit trail's end: the worker takes entries from the outbox, numbers them and keeps them.

One transaction deletes from the outbox, adds to the trail and moves the workspace's counter, whose
row it locks first. So each entry is kept once and the numbers have no gap, whatever crashes and
however many are at it.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from app.config import Settings
from app.logging import masking

BATCH = 500
JOB = "app.logging.trail.write"
JOB_TIMEOUT_S = 60
LONGEST_TEXT = 2_000
COLUMNS = (
    "workspace_id",
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
FREE_TEXT = ("actor_id", "actor_name", "object_id", "object_name", "reason", "user_agent", "request_id")

log = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]


def write() -> None:
    """RQ job: number and keep everything that waits."""
    url = Settings.read().database_ingest_url
    with psycopg.connect(url, autocommit=True, connect_timeout=3, application_name="llm-gateway-worker") as database:
        take_all(database)


def take_all(database: Connection, *, stop: Callable[[], bool] = lambda: False) -> int:
    """Keep what waits, workspace by workspace; return how many entries that were.

    `database` is a connection as `gateway_ingest` outside of any transaction. A workspace that fails
    does not stop the others; its error is raised at the end, so that the job shows as failed.
    """
    taken = 0
    failed: list[Exception] = []
    for workspace_id in waiting(database):
        try:
            while not stop() and (count := take(database, workspace_id)):
                taken += count
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            cause = {"workspace_id": str(workspace_id), "cause": type(error).__name__}
            log.error("audit entries could not be kept", extra=cause)  # noqa: TRY400  # RQ logs the traceback
            failed.append(error)
    if failed:
        raise failed[0]
    return taken


def waiting(database: Connection) -> list[UUID]:
    """List the workspaces with entries in the outbox."""
    return [row[0] for row in database.execute("select distinct workspace_id from audit_outbox").fetchall()]


def is_waiting(database: Connection) -> bool:
    """Tell whether anything is in the outbox."""
    row = database.execute("select exists (select from audit_outbox)").fetchone()
    return bool(row and row[0])


def take(database: Connection, workspace_id: UUID) -> int:
    """Keep a workspace's next entries in the order in which they were made; return how many, 0 when none wait."""
    with database.transaction():
        last_seq = _lock(database, workspace_id)
        entries = _take_out(database, workspace_id)
        if entries:
            _keep(database, entries, last_seq)
            values = [last_seq + len(entries), workspace_id]
            database.execute("update audit_counter set last_seq = %s where workspace_id = %s", values)
    return len(entries)


def _lock(database: Connection, workspace_id: UUID) -> int:
    """Keep the workspace's numbers to this transaction; wait for another one that has them. Read the last number."""
    database.execute("insert into audit_counter values (%s, 0) on conflict do nothing", [workspace_id])
    locked = database.execute("select last_seq from audit_counter where workspace_id = %s for update", [workspace_id])
    row = locked.fetchone()
    return int(row[0]) if row else 0


def _take_out(database: Connection, workspace_id: UUID) -> list[dict[str, Any]]:
    with database.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            'delete from audit_outbox where workspace_id = %s and "position" in ('
            ' select "position" from audit_outbox where workspace_id = %s order by "position" limit %s) returning *',
            [workspace_id, workspace_id, BATCH],
        )
        return sorted(cursor.fetchall(), key=lambda entry: int(entry["position"]))


def _keep(database: Connection, entries: Sequence[dict[str, Any]], last_seq: int) -> None:
    statement = f"insert into audit_event ({', '.join(COLUMNS)}, seq) values ({', '.join(['%s'] * len(COLUMNS))}, %s)"  # noqa: S608  # constants
    rows = [[*_masked(entry), last_seq + number] for number, entry in enumerate(entries, 1)]
    with database.cursor() as cursor:
        cursor.executemany(statement.encode(), rows)


def _masked(entry: dict[str, Any]) -> list[Any]:
    """Mask once more: who wrote to the outbox may have been older than today's masks."""
    values = entry | {
        name: Jsonb(masking.document(entry[name])) for name in ("before", "after") if entry[name] is not None
    }
    values |= {name: masking.storable(entry[name], LONGEST_TEXT) for name in FREE_TEXT if entry[name]}
    return [values[name] for name in COLUMNS]
