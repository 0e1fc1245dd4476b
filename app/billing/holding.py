"""Holding a workspace's ledger still: the lock that ingest, recomputes, rebuilds, closings and exports take.

It gives instants their meaning, too. Whoever writes under it stamps by the database's clock (`ingested_at`,
`created_at`), and transactions under it follow each other. So an instant that was read under it parts what is
visible from what is still to come.
"""

import time
from datetime import datetime
from uuid import UUID

import psycopg
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.billing.ingest import LOCK_CLASS
from app.extensions import execute
from app.units import bucket_of
from app.workspace.names import Invalid

LOCK_LIMIT = "10s"
LONGEST_PAUSE_S = 1.0

# An entry of the audit trail is numbered and stamped under the lock of its workspace's counter. Who makes the first one
# makes the counter, too, and nobody sees that before the commit: making it here waits for it.
_SETTLED = (
    "select pg_advisory_xact_lock_shared(%s, %s)",
    "insert into audit_counter values (%s, 0) on conflict do nothing",
    "select from audit_counter where workspace_id = %s for share",
    "select clock_timestamp()",
)


def hold(session: Session, workspace_id: UUID) -> datetime:
    """Keep ingest, recomputes and rebuilds away from a workspace's ledger until the transaction's end.

    Return the instant of this, by the database's clock: what the ledger has is not later, and what comes is not earlier.
    Raises `Invalid` when one of them does not end within 10 s.
    """
    execute(session, "select set_config('lock_timeout', :limit, true)", limit=LOCK_LIMIT)
    try:
        execute(session, "select pg_advisory_xact_lock(:of, :bucket)", of=LOCK_CLASS, bucket=bucket_of(workspace_id))
    except OperationalError as error:
        raise Invalid("month", "is being worked on. Try again in a minute.") from error
    instant: datetime = execute(session, "select clock_timestamp()").scalar_one()
    return instant


def settled_until(database: psycopg.Connection, workspace_id: UUID) -> datetime:
    """Tell up to which instant nothing can come any more, by the database's clock; all up to it is visible from now on.

    Nothing: no row of the ledger by its `ingested_at`, no correction by its `created_at`, no entry of the audit trail by
    its `written_at`. Waits for what is under way. `database` is a connection as `gateway_ingest` outside of any transaction.
    """
    lock, first, counter, clock = _SETTLED
    with database.transaction():
        database.execute(lock, [LOCK_CLASS, bucket_of(workspace_id)])
        database.execute(first, [workspace_id])
        database.execute(counter, [workspace_id])
        row = database.execute(clock).fetchone()
    assert row
    instant: datetime = row[0]
    return instant


def wait_until_settled(database: psycopg.Connection, workspace_id: UUID, as_of: datetime) -> None:
    """Return when nothing up to `as_of` can come any more: at once, but for an instant that the database has not reached."""
    while (left_s := (as_of - settled_until(database, workspace_id)).total_seconds()) > 0:
        time.sleep(min(left_s, LONGEST_PAUSE_S))
