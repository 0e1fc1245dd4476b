"""Rebuild: a workspace's rollups made again from the ledger, by the hours of its present time zone.

Where months of the ledger are past their retention, their sums are all there is: they stay, by the hours that they
have. PostgreSQL adds up calls of one kind by quarter-hour, since within one the hour is the same in every
zone; what is what in the sums is decided where ingest decides it. Readers see the old rollups until
the commit; ingest of the bucket waits, in its stream. Sums of months that retention has dropped stay as they are.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from app.billing import ingest, read_models, retention, rollup_zones, rollups
from app.units import bucket_of, start_of_day
from app.wire.usage import METERS

BATCH = 2000
ALWAYS, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
A_DAY = timedelta(days=1)

_KINDS = sql.SQL("""
    select workspace_id, date_bin('15 minutes', occurred_at, 'epoch') as quarter, key_id, application_id, model_id,
        deployment_id, alias, provider, outcome, state, usage_source, count(*) as calls, sum(list_cost) as list_cost,
        sum(billed_cost) as billed_cost, {meters}
    from usage_event join charge using (workspace_id, occurred_at, event_id)
    where workspace_id = %s and occurred_at >= %s and occurred_at < %s
    group by workspace_id, quarter, key_id, application_id, model_id, deployment_id, alias, provider, outcome, state,
        usage_source, billed_cost is null
    order by quarter""").format(
    meters=sql.SQL(", ").join(sql.SQL("sum({0})::bigint as {0}").format(sql.Identifier(meter)) for meter in METERS)
)


def rebuild(workspace_id: UUID, *, database: psycopg.Connection) -> int | None:
    """Make a workspace's rollups again; answer how many calls were counted, None when another process is at them.

    `database` is a connection as `gateway_ingest` outside of any transaction.
    """
    with database.transaction():
        if not ingest.lock(database, bucket_of(workspace_id)):
            return None
        before = rollup_zones.known(database, workspace_id)
        in_zone = rollup_zones.follow(database, workspace_id)
        since = retention.kept_since(database) or ALWAYS
        if since > ALWAYS and before:
            _cut(database, workspace_id, since, before)
        rollups.clear(database, workspace_id, since)
        calls = 0
        for rows in _kinds(database, workspace_id, since, NEVER):
            changes = rollups.Changes()
            for row in rows:
                changes.count(*_counted(row, in_zone))
            changes.write(database)
            calls += sum(row.calls for row in rows)
        return calls


def proven(workspace_id: UUID, *, database: psycopg.Connection) -> tuple[int, dict[str, str], dict[str, str]]:
    """Make a workspace's rollups again; answer how many calls were counted, and the digest of each before and after.

    Waits for another process that is at them. `database` is a connection as `gateway_ingest` outside of any transaction.
    """
    with database.transaction():
        database.execute("select pg_advisory_xact_lock(%s, %s)", [ingest.LOCK_CLASS, bucket_of(workspace_id)])
        before = read_models.digests(database, workspace_id)
        calls = rebuild(workspace_id, database=database)
        return calls or 0, before, read_models.digests(database, workspace_id)


def _cut(database: psycopg.Connection, workspace_id: UUID, since: datetime, in_zone: ZoneInfo) -> None:
    """Take the calls after `since` out of the day and the hour around it; what is left there is of dropped months."""
    end = start_of_day(since.astimezone(in_zone).date() + A_DAY, in_zone)
    for rows in _kinds(database, workspace_id, since, end):
        changes = rollups.Changes()
        for row in rows:
            changes.take_back(*_counted(row, in_zone))
        changes.write(database)


def _counted(row: Any, in_zone: ZoneInfo) -> tuple[rollups.Place, rollups.Facts]:
    return rollups.place_of(row, row.quarter, in_zone), rollups.facts_of_row(row)._replace(calls=row.calls)


def _kinds(database: psycopg.Connection, workspace_id: UUID, since: datetime, until: datetime) -> Iterator[list[Any]]:
    """Read the sums of the ledger in batches, so that memory stays flat however many there are."""
    with database.cursor(name="kinds", row_factory=namedtuple_row) as cursor:
        cursor.execute(_KINDS, [workspace_id, since, until])
        while rows := cursor.fetchmany(BATCH):
            yield rows
