"""Events that could not be billed: set aside with their reason, and put back into their streams once the fault is gone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from redis import Redis
from sqlalchemy import text

from app.billing.events import decode_refusals, stream_key
from app.extensions import transaction
from app.units import PLATFORM_ID, bucket_tag

SHOWN = 20
AT_ONCE = 500
COUNT = "select count(*) from ingest_reject"

_NEWEST = "select bucket, entry_id, reason, rejected_at from ingest_reject order by rejected_at desc limit :shown"
_TAKE_OUT = """
    delete from ingest_reject where (bucket, entry_id) in (
        select bucket, entry_id from ingest_reject where rejected_at <= %s order by bucket, entry_id limit %s)
    returning bucket, payload"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An event that was set aside. What it says stays in the database: it may hold anything."""

    bucket: int
    entry_id: str
    reason: str
    rejected_at: datetime


def newest() -> tuple[int, list[Rejected]]:
    """Count the events that are set aside, and list the newest of them."""
    with transaction(PLATFORM_ID) as session:
        count = session.execute(text(COUNT)).scalar_one()
        rows = session.execute(text(_NEWEST), {"shown": SHOWN}).mappings()
        return count, [Rejected(**row) for row in rows]


def replay(database: psycopg.Connection[Any], redis: Redis) -> int:
    """Put every event that was set aside until now back into its stream; return how many.

    One that still cannot be billed is set aside again. A crash leaves some in both places: ingest drops doubles of
    calls, and counts refused ones twice.
    `database` is a connection as `gateway_ingest` outside of any transaction.
    """
    row = database.execute("select clock_timestamp()").fetchone()
    assert row
    replayed = 0
    while count := _replay_some(database, redis, row[0]):
        replayed += count
    return replayed


def _replay_some(database: psycopg.Connection[Any], redis: Redis, until: datetime) -> int:
    with database.transaction():
        rows = database.execute(_TAKE_OUT, [until, AT_ONCE]).fetchall()
        asked = redis.pipeline(transaction=False)
        for bucket, payload in rows:
            asked.xadd(stream_key(bucket_tag(bucket)), {_field(payload): payload})
        asked.execute()
    return len(rows)


def _field(payload: bytes) -> str:
    """Find the field in which it stood: "r" of what is a count of refused calls."""
    try:
        decode_refusals(payload)
    except (msgspec.MsgspecError, UnicodeError):
        return "e"
    return "r"
