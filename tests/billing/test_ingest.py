"""From stream to ledger: exactly once, whatever breaks."""

import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis as redis_client
from psycopg import sql
from redis import Redis

from app.billing import jobs
from app.billing.events import PROVISIONAL, UsageEvent, encode, stream_key
from app.billing.ingest import LOCK_CLASS, Batch, ingest
from app.units import bucket_of, bucket_tag, new_id
from tests.billing.books import NOON, Books, call, event_id, recent


class Crash(Exception):
    """The process dies here."""


class DyingConnection(psycopg.Connection[Any]):
    """A real connection whose process dies before the statement that holds `dies_at`."""

    dies_at = ""

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        text = query.as_string(self) if isinstance(query, sql.Composable) else str(query)
        if self.dies_at in text:
            raise Crash(self.dies_at)
        return super().execute(query, *args, **kwargs)


class DyingRedis(Redis):
    """A real client whose process dies before it trims."""

    def xtrim(self, *_args: Any, **_kwargs: Any) -> Any:
        raise Crash("xtrim")


def test_every_member_of_an_event_reaches_its_column(books: Books) -> None:
    event = call(
        books.workspace(),
        outcome="timeout",
        error_code="provider_timeout",
        http_status=504,
        streamed=True,
        attempts=2,
        usage_source="estimated",
        billable_reason="delivered in part",
        meters={"input": 7, "images": 3},
        reported={"prompt_tokens": 7, "deep": {"a": [1, None]}},
        latency_ms=812,
        first_byte_ms=120,
        client_request_id="mine",
    )

    books.put(event)
    books.take()

    (row,) = books.rows()
    assert NOON == row["occurred_at"]
    assert ({"images": 3}, 7, 0) == (row["other_meters"], row["input"], row["output"])
    same = set(UsageEvent.__struct_fields__) - {"meters"}
    assert {name: getattr(event, name) for name in same} == {name: row[name] for name in same}


def test_a_stream_is_empty_after_ingest_and_the_cursor_stands_at_its_end(books: Books) -> None:
    workspace_id = books.workspace()
    bucket = bucket_of(workspace_id)
    books.put(call(workspace_id), call(workspace_id))
    last_id = books.redis.xrevrange(stream_key(bucket_tag(bucket)), count=1)[0][0].decode()

    assert [Batch(read=2, added=2)] == books.take()

    assert 0 == books.redis.xlen(stream_key(bucket_tag(bucket)))
    assert [(bucket, last_id)] == [(row["bucket"], row["last_id"]) for row in books.sql("select * from ingest_cursor")]


def test_a_backlog_larger_than_a_batch_is_taken_in_several(books: Books) -> None:
    workspace_id = books.workspace()
    books.put(*(call(workspace_id) for _ in range(2500)))

    assert [2000, 500] == [batch.added for batch in books.take()]

    assert 2500 == len(books.rows())
    assert books.rollups_from_rows() == books.rollups()


def test_doubles_are_dropped_within_a_batch_and_after_it(books: Books) -> None:
    event = call(books.workspace())
    books.put(event, event, event)
    assert [Batch(read=3, added=1)] == books.take()

    books.put(event)
    assert [Batch(read=1)] == books.take()

    assert 1 == len(books.rows())
    assert books.rollups_from_rows() == books.rollups()


@pytest.mark.parametrize("in_one_batch", [True, False])
@pytest.mark.parametrize("settled_first", [True, False])
def test_a_settled_call_stands_whichever_comes_first(books: Books, in_one_batch: bool, settled_first: bool) -> None:
    model_id = new_id()
    books.price(model_id, input="1.00", output="2.00")
    settled = call(books.workspace("Asia/Kathmandu"), model_id=model_id)
    guess = _provisional(settled, meters={"input": 50, "output": 4000})

    for event in (settled, guess) if settled_first else (guess, settled):
        books.put(event)
        if not in_one_batch:
            books.take()
    books.take()

    (row,) = books.rows()
    assert ("settled", 100, Decimal("0.00021")) == (row["state"], row["output"], row["billed_cost"])
    assert books.rollups_from_rows() == books.rollups()
    assert 1 == len(books.rollups()["rollup_hour_model"])


def test_a_settled_call_on_another_target_leaves_nothing_at_the_first(books: Books) -> None:
    settled = call(books.workspace())
    books.put(_provisional(settled, deployment_id=new_id(), model_id=new_id()))
    books.take()

    books.put(settled)
    batches = books.take()

    assert [Batch(read=1, replaced=1)] == batches
    assert [(settled.model_id, settled.deployment_id)] == [key[2:] for key in books.rollups()["rollup_hour_model"]]
    assert books.rollups_from_rows() == books.rollups()


@pytest.mark.parametrize("dies_at", ["with added as", '"rollup_hour_app"', "insert into ingest_cursor"])
def test_a_crash_inside_the_transaction_leaves_nothing_and_loses_nothing(
    books: Books, fresh_database: Any, dies_at: str
) -> None:
    books.put(*(call(books.workspace()) for _ in range(20)))
    dying = DyingConnection.connect(fresh_database.ingest_url, autocommit=True)
    dying.dies_at = dies_at

    with pytest.raises(Crash):
        books.take(database=dying)
    dying.close()
    assert [] == books.rows()

    books.take()
    assert 20 == len(books.rows())
    assert books.rollups_from_rows() == books.rollups()


def test_a_crash_between_commit_and_trim_repeats_nothing(books: Books, redis_url: str) -> None:
    workspace_id = books.workspace()
    books.put(*(call(workspace_id) for _ in range(20)))
    with DyingRedis.from_url(redis_url) as dying, pytest.raises(Crash):
        books.take(redis=dying)
    assert 20 == books.redis.xlen(stream_key(bucket_tag(bucket_of(workspace_id))))

    assert [Batch()] == books.take()

    assert 20 == len(books.rows())
    assert books.rollups_from_rows() == books.rollups()


def test_another_redis_is_read_from_its_start(books: Books) -> None:
    workspace_id = books.workspace()
    first, second, third = (call(workspace_id) for _ in range(3))
    books.put(first)
    books.take()

    books.put(first, second, third)
    past_second = books.redis.xrange(stream_key(bucket_tag(bucket_of(workspace_id))))[1][0].decode()
    books.owner.execute("update ingest_cursor set replid = 'another', last_id = %s", [past_second])
    books.take()

    assert {first.event_id, second.event_id, third.event_id} == {row["event_id"] for row in books.rows()}
    (cursor,) = books.sql("select * from ingest_cursor")
    assert books.redis.info("replication")["master_replid"] == cursor["replid"]
    assert books.rollups_from_rows() == books.rollups()


def test_a_flushed_redis_whose_clock_went_back_is_read_from_its_start(books: Books) -> None:
    workspace_id = books.workspace()
    bucket = bucket_of(workspace_id)
    books.put_raw(bucket, {"e": encode(call(workspace_id))}, "5000-0")
    books.take()

    books.redis.flushall()
    books.put_raw(bucket, {"e": encode(call(workspace_id))}, "4000-0")
    books.take()

    assert 2 == len(books.rows())


def test_poison_is_set_aside_with_its_reason_and_the_rest_goes_on(books: Books, tmp_path: Path) -> None:
    workspace_id = books.workspace()
    good = call(workspace_id)
    poison = _poison(good, tmp_path / "made-by-pickle")
    for payload in poison.values():
        books.put_raw(bucket_of(workspace_id), {"e": payload})
    books.put_raw(bucket_of(workspace_id), {"other": b"field"})
    books.put(good)

    books.take()

    assert [good.event_id] == [row["event_id"] for row in books.rows()]
    rejects = books.rejects()
    assert sorted([*poison.values(), repr({b"other": b"field"}).encode()]) == sorted(row["payload"] for row in rejects)
    assert all(row["reason"] for row in rejects)
    assert not (tmp_path / "made-by-pickle").exists()
    assert books.rollups_from_rows() == books.rollups()


def test_what_only_postgresql_refuses_is_found_among_many(books: Books) -> None:
    workspace_id = books.workspace()
    events = [call(workspace_id) for _ in range(60)]
    bad = [call(workspace_id, alias="a\0b"), call(workspace_id, meters={"a\0b": 1})]

    books.put(*events[:11], bad[0], *events[11:40], bad[1], *events[40:])
    assert [Batch(read=62, added=60, rejected=2)] == books.take()

    assert {event.event_id for event in events} == {row["event_id"] for row in books.rows()}
    assert [encode(event) for event in bad] == [row["payload"] for row in books.rejects()]
    assert books.rollups_from_rows() == books.rollups()


def test_an_upstreams_nul_does_not_cost_the_bill(books: Books) -> None:
    books.put(call(books.workspace(), reported={"note": "a\0b"}))
    books.take()

    (row,) = books.rows()
    assert (None, 100) == (row["reported"], row["output"])


def test_a_month_without_a_partition_gets_one(books: Books) -> None:
    books.put(call(books.workspace(), at=datetime(2024, 2, 29, 23, 59, tzinfo=UTC)))
    books.take()

    assert ["usage_event_202402"] == _partitions(books)


def test_a_month_that_can_have_no_partition_goes_to_the_default_one(books: Books) -> None:
    at = datetime(2024, 2, 29, 23, 59, tzinfo=UTC)
    books.owner.execute("revoke execute on function ensure_partitions from gateway_ingest")
    books.put(call(books.workspace(), at=at))
    books.take()
    books.owner.execute("grant execute on function ensure_partitions to gateway_ingest")

    books.put(call(books.workspace(), at=at))
    books.take()

    assert ["usage_event_default"] * 2 == _partitions(books)
    assert books.rollups_from_rows() == books.rollups()


def test_a_bucket_that_another_process_reads_is_left_to_it(books: Books) -> None:
    workspace_id = books.workspace()
    bucket = bucket_of(workspace_id)
    books.put(call(workspace_id))

    with books.owner.transaction():
        books.owner.execute("select pg_advisory_xact_lock(%s, %s)", [LOCK_CLASS, bucket])
        assert ingest(bucket, database=books.ingest, redis=books.redis) is None

    assert [bucket] == jobs.waiting(books.redis)
    assert [Batch(read=1, added=1)] == books.take()


def test_a_call_of_a_workspace_that_is_gone_is_billed_by_utc(books: Books) -> None:
    books.put(call(new_id()))
    books.take()

    assert [NOON] == [row["hour_start"] for row in books.sql("select hour_start from rollup_hour_key")]


def test_a_lost_redis_undoes_the_batch(books: Books, redis_url: str) -> None:
    workspace_id = books.workspace()
    books.put(call(workspace_id))
    nowhere = Redis.from_url(redis_url.rsplit(":", 1)[0] + ":1/0")

    with pytest.raises(redis_client.exceptions.ConnectionError):
        ingest(bucket_of(workspace_id), database=books.ingest, redis=nowhere)

    books.take()
    assert 1 == len(books.rows())


def _provisional(settled: UsageEvent, **changes: Any) -> UsageEvent:
    members = {name: getattr(settled, name) for name in UsageEvent.__struct_fields__}
    guess = {"state": PROVISIONAL, "outcome": "unsettled", "usage_source": "estimated"}
    return UsageEvent(**members | guess | changes)


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def _poison(good: UsageEvent, made_by_pickle: Path) -> dict[str, bytes]:
    """Entries that look like `good` and cannot be billed."""
    elsewhere = next(w for w in iter(new_id, None) if bucket_of(w) != bucket_of(good.workspace_id))

    def like(**changes: Any) -> bytes:
        members = {name: getattr(good, name) for name in UsageEvent.__struct_fields__}
        return encode(UsageEvent(**members | {"event_id": event_id(NOON)} | changes))

    return {
        "no JSON": b"{",
        "not UTF-8": b'{"alias": "\xff"}',
        "another object": b'{"a": 1}',
        "a pickle": pickle.dumps(_Touch(made_by_pickle)),
        "a negative meter": like(meters={"input": -1}),
        "an absurd meter": like(meters={"input": 10**13}),
        "a meter beyond any column": like(meters={"input": 2**64 - 1}),
        "an absurd status": like(http_status=2**31),
        "no such state": like(state="draft"),
        "no such source": like(usage_source="guessed"),
        "another bucket": like(workspace_id=elsewhere),
        "before the product": like(event_id=event_id(datetime(2019, 1, 1, tzinfo=UTC))),
        "far ahead": like(event_id=event_id(recent() + timedelta(days=2))),
        "a year that no clock shows": like(event_id=UUID(int=(2**48 - 1) << 80 | 7 << 76 | 2 << 62)),
        "an id without time": like(event_id=UUID("6f0f2f4e-0000-4000-8000-000000000000")),
    }


def _partitions(books: Books) -> list[str]:
    return [row["name"] for row in books.sql("select tableoid::regclass::text as name from usage_event")]
