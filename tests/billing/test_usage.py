"""What a key has used, between any two instants."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from app import extensions
from app.billing import usage
from app.billing.events import UsageEvent, encode, stream_key
from app.units import bucket_of, bucket_tag, local_hour_of, new_id, utc_now, zone
from app.wire.usage import METERS
from tests.billing.books import NOON, Books, call, open_books

ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]
CHANGES = {
    "UTC": NOON,
    "Europe/Berlin": datetime(2026, 10, 25, 1, 0, tzinfo=UTC),
    "Asia/Kathmandu": NOON,
    "Australia/Lord_Howe": datetime(2026, 4, 4, 15, 0, tzinfo=UTC),
}
"""An instant around which a zone's hours are odd, where it has any."""


@dataclass
class OneKey:
    """A key with calls every few minutes for ten hours around `middle`."""

    books: Books
    workspace_id: UUID
    key_id: UUID
    middle: datetime
    calls: list[UsageEvent]


@pytest.fixture
def key_books(app: Flask, fresh_database: Any, redis_url: str) -> Iterator[Books]:  # noqa: ARG001
    """The ledger, with the app's context around."""
    books = open_books(fresh_database, redis_url)
    yield books
    for client in (books.redis, books.owner, books.ingest):
        client.close()


def _busy_key(books: Books, timezone: str) -> OneKey:
    workspace_id, key_id, model_id = books.workspace(timezone), new_id(), new_id()
    books.price(model_id, input="1.00", output="2.00")
    middle = CHANGES[timezone]
    shared = {"key_id": key_id, "model_id": model_id}
    calls = [call(workspace_id, at=middle + timedelta(minutes=7 * n, milliseconds=n), **shared) for n in range(-43, 43)]
    books.put(*calls, call(workspace_id, at=middle))
    books.take()
    return OneKey(books, workspace_id, key_id, middle, calls)


@pytest.mark.parametrize("timezone", ZONES)
def test_every_span_is_exact(key_books: Books, timezone: str) -> None:
    key = _busy_key(key_books, timezone)
    dice = random.Random(7)
    borders = [key.middle + timedelta(minutes=15 * n) for n in range(-24, 25)]

    for number in range(120):
        start, end = sorted(dice.sample(borders, 2))
        if number % 3 == 0:
            start += timedelta(milliseconds=dice.randrange(900_000))
        expected = [c for c in key.calls if start <= _instant(c) < end]
        summary = usage.usage_of_key(key.workspace_id, key.key_id, start=start, end=end)

        assert (len(expected), len(expected) * Decimal("0.00021")) == (summary.requests, summary.cost), (start, end)
        assert len(expected) * 100 == summary.tokens["output"]


def test_as_many_hours_as_fit_are_whole() -> None:
    def at(hour: int, minute: int) -> datetime:
        return datetime(2026, 11, 10, hour, minute, tzinfo=UTC)

    assert (at(13, 0), at(15, 0)) == usage.whole_hours(at(12, 10), at(15, 50), zone("UTC"))
    assert (at(12, 15), at(15, 15)) == usage.whole_hours(at(12, 10), at(15, 50), zone("Asia/Kathmandu"))
    assert (at(13, 0), at(14, 0)) == usage.whole_hours(at(13, 0), at(14, 0), zone("UTC"))
    assert (at(13, 50), at(13, 50)) == usage.whole_hours(at(13, 10), at(13, 50), zone("UTC"))


@pytest.mark.parametrize("timezone", ZONES)
def test_whole_hours_come_from_the_rollup_and_nothing_else_does(key_books: Books, timezone: str) -> None:
    key = _busy_key(key_books, timezone)
    key_books.owner.execute("update rollup_hour_key set requests = requests + 1000")
    hour = local_hour_of(key.middle - timedelta(hours=3), zone(timezone))

    whole = usage.usage_of_key(key.workspace_id, key.key_id, start=hour, end=hour + timedelta(hours=1))
    part = usage.usage_of_key(
        key.workspace_id, key.key_id, start=hour + timedelta(milliseconds=1), end=hour + timedelta(hours=1)
    )

    assert whole.requests > 1000
    assert part.requests < 1000


def test_a_key_without_calls_has_every_meter_at_zero(key_books: Books) -> None:
    summary = usage.usage_of_key(key_books.workspace(), new_id(), start=NOON, end=NOON + timedelta(days=30))

    assert dict.fromkeys(METERS, 0) == summary.tokens
    assert list(METERS) == list(summary.tokens)
    assert (0, Decimal(0), 0, 0, 0) == (
        summary.requests,
        summary.cost,
        summary.unpriced,
        summary.provisional,
        summary.estimated,
    )


@pytest.mark.parametrize("edge", [timedelta(0), timedelta(minutes=1)])
def test_each_kind_is_counted_and_an_unknown_cost_left_out(key_books: Books, edge: timedelta) -> None:
    workspace_id, key_id, model_id = key_books.workspace(), new_id(), new_id()
    key_books.price(model_id, input="1.00", output="2.00")
    key_books.put(
        call(workspace_id, at=NOON + edge, key_id=key_id, model_id=model_id),
        call(workspace_id, at=NOON + edge, key_id=key_id),
        call(workspace_id, at=NOON + edge, key_id=key_id, state="provisional", usage_source="estimated"),
    )
    key_books.take()

    summary = usage.usage_of_key(workspace_id, key_id, start=NOON + edge, end=NOON + timedelta(hours=1))

    assert (3, 2, 1, 1) == (summary.requests, summary.unpriced, summary.provisional, summary.estimated)
    assert Decimal("0.00021") == summary.cost


def test_another_workspace_sees_nothing_of_a_key(key_books: Books) -> None:
    key = _busy_key(key_books, "UTC")
    span = {"start": NOON - timedelta(days=1), "end": NOON + timedelta(days=1)}

    assert 86 == usage.usage_of_key(key.workspace_id, key.key_id, **span).requests
    assert 0 == usage.usage_of_key(key_books.workspace(), key.key_id, **span).requests


def test_as_of_is_now_when_nothing_waits_and_else_since_when_it_does(key_books: Books) -> None:
    workspace_id, span = key_books.workspace(), {"start": NOON, "end": NOON + timedelta(hours=1)}
    before = utc_now()
    assert before <= usage.usage_of_key(workspace_id, new_id(), **span).as_of <= utc_now()

    payload = encode(call(workspace_id))
    key_books.redis.xadd(stream_key(bucket_tag(bucket_of(workspace_id))), {"e": payload}, id="1700000000123-0")

    assert datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC) == (
        usage.usage_of_key(workspace_id, new_id(), **span).as_of
    )


def test_as_of_is_the_last_ingest_when_redis_is_away(key_books: Books, app: Flask) -> None:
    key = _busy_key(key_books, "UTC")
    (cursor,) = key_books.sql("select updated_at from ingest_cursor where bucket = %s", bucket_of(key.workspace_id))
    app.extensions["redis"].close()
    app.extensions["redis"] = extensions.connect_redis("redis://127.0.0.1:1/0")

    summary = usage.usage_of_key(key.workspace_id, key.key_id, start=NOON, end=NOON + timedelta(hours=1))

    assert cursor["updated_at"] == summary.as_of
    assert 9 == summary.requests


def _instant(event: UsageEvent) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=event.event_id.int >> 80)
