"""Ingest: from a bucket's usage stream into the ledger, one batch a transaction.

The cursor moves in the transaction that writes the rows, so a crash at any point repeats or
forgets nothing. The stream is trimmed after the commit; what a crash leaves there is behind the
cursor and is trimmed the next time. One bucket is read by one process at a time, by an advisory
lock that ends with the transaction.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from redis import Redis
from redis.exceptions import ResponseError

from app.billing import entries, late_calls, ledger, partitions, rating, refusals, rollup_zones, rollups
from app.billing.entries import Reject, StreamEntry
from app.billing.events import stream_key
from app.billing.ledger import Line
from app.units import bucket_tag, utc_now

BATCH = 2000
LOCK_CLASS = 7_201_002
"""The first half of the advisory lock; the bucket is the second."""
START = "0-0"

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """What became of the entries of one batch; `read` is all of them, doubles included."""

    read: int = 0
    added: int = 0
    replaced: int = 0
    rejected: int = 0


class Cursor(NamedTuple):
    """How far a bucket was read, and in which Redis."""

    last_id: str
    replid: str


def ingest(bucket: int, *, database: psycopg.Connection, redis: Redis) -> Batch | None:
    """Take the next entries of a bucket into the ledger; None when another process is at it.

    `database` is a connection as `gateway_ingest` outside of any transaction.
    """
    key = stream_key(bucket_tag(bucket))
    with database.transaction():
        if not lock(database, bucket):
            return None
        cursor = _cursor(database, bucket, redis, key)
        found = cast(list[StreamEntry], redis.xrange(key, min=f"({cursor.last_id}", count=BATCH))
        batch = _take(database, bucket, found) if found else Batch()
        last_id = found[-1][0].decode() if found else cursor.last_id
        if found:
            _move(database, bucket, Cursor(last_id, cursor.replid))
    _trim(redis, key, last_id)
    return batch


def lock(database: psycopg.Connection, bucket: int) -> bool:
    """Keep a bucket's ledger and rollups to this transaction, until its end; False when another process has them."""
    row = database.execute("select pg_try_advisory_xact_lock(%s, %s)", [LOCK_CLASS, bucket]).fetchone()
    return bool(row and row[0])


def _cursor(database: psycopg.Connection, bucket: int, redis: Redis, key: str) -> Cursor:
    """Say where to go on; from the start in a Redis that is another one, or whose stream began anew.

    A flushed Redis keeps its id. If its clock went back, ids of new entries are below the old cursor.
    """
    replid = str(redis.info("replication")["master_replid"])
    row = database.execute("select last_id, replid from ingest_cursor where bucket = %s", [bucket]).fetchone()
    if row is None or row[1] != replid or _position(_newest(redis, key)) < _position(row[0]):
        return Cursor(START, replid)
    return Cursor(row[0], replid)


def _newest(redis: Redis, key: str) -> str:
    """Read the highest id that a stream ever gave, trimmed entries included."""
    try:
        return str(redis.xinfo_stream(key)["last-generated-id"].decode())
    except ResponseError:
        return START


def _position(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def _move(database: psycopg.Connection, bucket: int, cursor: Cursor) -> None:
    database.execute(
        "insert into ingest_cursor (bucket, last_id, replid) values (%s, %s, %s) on conflict (bucket)"
        " do update set last_id = excluded.last_id, replid = excluded.replid, updated_at = now()",
        [bucket, cursor.last_id, cursor.replid],
    )


def _trim(redis: Redis, key: str, last_id: str) -> None:
    """Remove what is in the ledger from the stream: everything up to `last_id`."""
    if last_id != START:
        milliseconds, number = _position(last_id)
        redis.xtrim(key, minid=f"{milliseconds}-{number + 1}", approximate=False)


def _take(database: psycopg.Connection, bucket: int, found: Sequence[StreamEntry]) -> Batch:
    """Write one batch: rows, charges, rollups, counts of refused calls, and what cannot be one of them."""
    usable, refused_calls, rejects = entries.read(found, bucket, utc_now())
    calls = entries.once(usable)
    added = replaced = 0
    if calls:
        ledger.prepare(database)
        partitions.ensure_for(database, (call.occurred_at for call in calls))
        rates = rating.rates(database, [call.event for call in calls])
        lines = [Line(call, rates.charge(call.event, call.occurred_at)) for call in calls]
        zones = rollup_zones.of(database, {call.event.workspace_id for call in calls})
        added, replaced, refused = _write(database, lines, zones)
        rejects += refused
    refusals.add(database, refused_calls)
    _keep(database, bucket, rejects)
    return Batch(len(found), added, replaced, len(rejects))


def _write(
    database: psycopg.Connection, lines: Sequence[Line], zones: dict[UUID, ZoneInfo]
) -> tuple[int, int, list[Reject]]:
    """Write lines, their part of the rollups and what they correct; halve them to find the ones that PostgreSQL refuses."""
    try:
        with database.transaction():
            written = ledger.write(database, lines)
            _roll_up(database, written, zones)
            late_calls.correct(database, written, now=utc_now())
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        if len(lines) == 1:
            entry = lines[0].entry
            return 0, 0, [Reject(entry.entry_id, entry.payload, f"the ledger refuses it: {type(error).__name__}")]
        half = len(lines) // 2
        first, second = (_write(database, part, zones) for part in (lines[:half], lines[half:]))
        return first[0] + second[0], first[1] + second[1], first[2] + second[2]
    return len(written.added), len(written.replaced), []


def _roll_up(database: psycopg.Connection, written: ledger.Written, zones: dict[UUID, ZoneInfo]) -> None:
    """Count the calls that are new, and the difference that a settled call makes to its provisional one."""
    if not written.added and not written.replaced:
        return
    changes = rollups.Changes()
    for row, line in written.replaced:
        changes.take_back(rollups.place_of(row, row.occurred_at, zones[row.workspace_id]), rollups.facts_of_row(row))
        changes.count(_place(line, zones), _facts(line))
    for line in written.added:
        changes.count(_place(line, zones), _facts(line))
    changes.write(database)


def _place(line: Line, zones: dict[UUID, ZoneInfo]) -> rollups.Place:
    event = line.entry.event
    return rollups.place_of(event, line.entry.occurred_at, zones[event.workspace_id])


def _facts(line: Line) -> rollups.Facts:
    event, charge = line.entry.event, line.charge
    return rollups.Facts(event.outcome, event.state, event.usage_source, event.meters, charge.usd, charge.list_usd)


def _keep(database: psycopg.Connection, bucket: int, rejects: Sequence[Reject]) -> None:
    """Store what could not be billed, for repair, and say so."""
    if not rejects:
        return
    with database.cursor() as cursor:
        cursor.executemany(
            "insert into ingest_reject (bucket, entry_id, payload, reason) values (%s, %s, %s, %s) on conflict do nothing",
            [(bucket, reject.entry_id, reject.payload, reject.reason.replace("\0", "")) for reject in rejects],
        )
    log.error("usage events were rejected", extra={"bucket": bucket, "rejected": len(rejects)})
