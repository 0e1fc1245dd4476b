"""Rebuild: a workspace's rollups made again from the ledger, by the hours of its present time zone.

PostgreSQL adds up calls of one kind by quarter-hour, since within one the hour is the same in every
zone; what is what in the sums is decided where ingest decides it. Readers see the old rollups until
the commit; ingest of the bucket waits, in its stream.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from app.billing import ingest, rollup_zones, rollups
from app.units import bucket_of
from app.wire.usage import METERS

BATCH = 2000

_KINDS = sql.SQL("""
    select workspace_id, date_bin('15 minutes', occurred_at, 'epoch') as quarter, key_id, application_id, model_id,
        deployment_id, outcome, state, usage_source, count(*) as calls, sum(billed_cost) as billed_cost, {meters}
    from usage_event join charge using (workspace_id, occurred_at, event_id) where workspace_id = %s
    group by workspace_id, quarter, key_id, application_id, model_id, deployment_id, outcome, state, usage_source,
        billed_cost is null
    order by quarter""").format(
    meters=sql.SQL(", ").join(sql.SQL("sum({0})::bigint as {0}").format(sql.Identifier(meter)) for meter in METERS)
)


def rebuild(workspace_id: UUID, *, database: psycopg.Connection) -> int | None:
    """Make all rollups of a workspace again; answer how many calls they count, None when another process is at them.

    `database` is a connection as `gateway_ingest` outside of any transaction.
    """
    with database.transaction():
        if not ingest.lock(database, bucket_of(workspace_id)):
            return None
        in_zone = rollup_zones.follow(database, workspace_id)
        rollups.clear(database, workspace_id)
        calls = 0
        for rows in _kinds(database, workspace_id):
            changes = rollups.Changes()
            for row in rows:
                place = rollups.place_of(row, row.quarter, in_zone)
                changes.count(place, rollups.facts_of_row(row)._replace(calls=row.calls))
            changes.write(database)
            calls += sum(row.calls for row in rows)
        return calls


def _kinds(database: psycopg.Connection, workspace_id: UUID) -> Iterator[list[Any]]:
    """Read the sums of the ledger in batches, so that memory stays flat however many there are."""
    with database.cursor(name="kinds", row_factory=namedtuple_row) as cursor:
        cursor.execute(_KINDS, [workspace_id])
        while rows := cursor.fetchmany(BATCH):
            yield rows
