"""Counts of refused calls on their way into the database: each once, in the workspace's own hour, and no calls."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from app.billing import rebuild, rejects
from app.billing.events import NO_KEY, Refusals, Refused
from app.billing.ingest import Batch
from app.units import bucket_of, new_id, utc_now
from tests.billing.books import NOON, Books, call
from tests.billing.test_ingest import Crash, DyingConnection, DyingRedis

LIMIT, MODEL = "policy_rate_limited", "caller_model_not_found"


def put(books: Books, workspace_id: UUID, *counts: tuple[UUID, str, int], at: datetime = NOON) -> None:
    made = Refusals(at=at, counts=[Refused(workspace_id, *one) for one in counts])
    put_raw(books, workspace_id, msgspec.json.encode(made))


def put_raw(books: Books, workspace_id: UUID, payload: bytes) -> None:
    books.put_raw(bucket_of(workspace_id), {"r": payload})


def counted(books: Books, workspace_id: UUID) -> dict[tuple[datetime, UUID, str], int]:
    rows = books.sql("select * from refusal_hour where workspace_id = %s", workspace_id)
    return {(row["hour_start"], row["key_id"], row["code"]): row["calls"] for row in rows}


def test_counts_add_up_by_local_hour_key_and_reason(books: Books) -> None:
    workspace_id, key_id = books.workspace("Asia/Kathmandu"), new_id()
    put(books, workspace_id, (key_id, LIMIT, 3), (key_id, MODEL, 1), (NO_KEY, LIMIT, 5))
    put(books, workspace_id, (key_id, LIMIT, 4), at=NOON + timedelta(minutes=15))
    books.take()
    put(books, workspace_id, (key_id, LIMIT, 2))

    assert [Batch(read=1)] == books.take()

    hour, next_hour = datetime(2026, 11, 10, 11, 15, tzinfo=UTC), datetime(2026, 11, 10, 12, 15, tzinfo=UTC)
    expected = {
        (hour, key_id, LIMIT): 5,
        (hour, key_id, MODEL): 1,
        (hour, NO_KEY, LIMIT): 5,
        (next_hour, key_id, LIMIT): 4,
    }
    assert expected == counted(books, workspace_id)


def test_they_are_no_calls_and_stand_beside_them(books: Books) -> None:
    workspace_id = books.workspace()
    put(books, workspace_id, (new_id(), LIMIT, 3))
    books.take()
    assert [] == books.sql("select * from rollup_zone"), "the overview takes that for a first call"
    books.put(call(workspace_id))
    put(books, workspace_id, (new_id(), LIMIT, 4))

    assert [Batch(read=2, added=1)] == books.take()

    assert (1, 7) == (len(books.rows()), sum(counted(books, workspace_id).values()))
    assert books.rollups_from_rows() == books.rollups()


@pytest.mark.parametrize("dies_at", ["insert into refusal_hour", "insert into ingest_cursor", "xtrim"])
def test_whatever_dies_each_counts_once(books: Books, fresh_database: Any, redis_url: str, dies_at: str) -> None:
    workspace_id, key_id = books.workspace(), new_id()
    books.put(call(workspace_id))
    put(books, workspace_id, (key_id, LIMIT, 3))
    dying = DyingConnection.connect(fresh_database.ingest_url, autocommit=True)
    dying.dies_at = dies_at

    with DyingRedis.from_url(redis_url) as dying_redis, dying, pytest.raises(Crash):
        books.take(database=dying, redis=dying_redis if dies_at == "xtrim" else books.redis)
    put(books, workspace_id, (key_id, LIMIT, 4))
    books.take()

    assert {(NOON, key_id, LIMIT): 7} == counted(books, workspace_id)
    assert 1 == len(books.rows())


def _malformed(workspace_id: UUID) -> dict[str, Any]:
    good = [str(workspace_id), str(new_id()), LIMIT, 1]
    return {
        "no JSON": b"{",
        "no counts": {"at": "2026-11-10T12:00:00Z"},
        "a time without a zone": {"at": "2026-11-10T12:00:00", "counts": [good]},
        "a time to come": {"at": "2126-11-10T12:00:00Z", "counts": []},
        "no calls": {"at": "2026-11-10T12:00:00Z", "counts": [[*good[:3], 0]]},
        "too many": {"at": "2026-11-10T12:00:00Z", "counts": [[*good[:3], 10**12]]},
        "no code": {"at": "2026-11-10T12:00:00Z", "counts": [[*good[:2], "Not\0a code", 1]]},
    }


@pytest.mark.parametrize("what", _malformed(NO_KEY))
def test_what_is_no_count_is_set_aside_and_the_others_land(books: Books, what: str) -> None:
    workspace_id, key_id = books.workspace(), new_id()
    payload = _malformed(workspace_id)[what]
    put_raw(books, workspace_id, payload if isinstance(payload, bytes) else msgspec.json.encode(payload))
    put(books, workspace_id, (key_id, LIMIT, 3))

    assert [Batch(read=2, rejected=1)] == books.take()

    assert {(NOON, key_id, LIMIT): 3} == counted(books, workspace_id)
    assert 1 == len(books.rejects())


def test_counts_of_another_bucket_are_set_aside(books: Books) -> None:
    mine, theirs = books.workspace(), books.workspace()
    while bucket_of(theirs) == bucket_of(mine):
        theirs = books.workspace()
    made = Refusals(at=NOON, counts=[Refused(theirs, NO_KEY, LIMIT, 1)])
    put_raw(books, mine, msgspec.json.encode(made))

    assert [Batch(read=1, rejected=1)] == books.take()

    assert {} == counted(books, theirs)


def test_what_was_set_aside_is_counted_once_its_fault_is_gone(books: Books) -> None:
    """A proxy's clock was ahead."""
    workspace_id, key_id = books.workspace(), new_id()
    ahead = utc_now().replace(minute=0, second=0, microsecond=0) + timedelta(days=2)
    put(books, workspace_id, (key_id, LIMIT, 3), at=ahead)
    books.take()
    assert 1 == len(books.rejects())
    then = ahead - timedelta(days=2)
    repaired = msgspec.json.encode(Refusals(at=then, counts=[Refused(workspace_id, key_id, LIMIT, 3)]))
    books.owner.execute("update ingest_reject set payload = %s", [repaired])

    rejects.replay(books.ingest, books.redis)
    books.take()

    assert ({(then, key_id, LIMIT): 3}, []) == (counted(books, workspace_id), books.rejects())


def test_neither_a_rebuild_nor_another_time_zone_touches_them(books: Books) -> None:
    workspace_id, key_id = books.workspace("Asia/Kathmandu"), new_id()
    books.put(call(workspace_id))
    put(books, workspace_id, (key_id, LIMIT, 3))
    books.take()
    before = counted(books, workspace_id)

    books.move(workspace_id, "UTC")
    assert 1 == rebuild.rebuild(workspace_id, database=books.ingest)

    assert before == counted(books, workspace_id)
    assert books.rollups_from_rows() == books.rollups()
