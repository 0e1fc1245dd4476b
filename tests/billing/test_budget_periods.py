"""Periods of watched budgets: each begins at nothing, at the midnight of its own zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from app.billing.budget_watch import Watch
from app.workspace import courier
from tests.billing.books import Books
from tests.billing.watched import acting, budget, spend, turn


@pytest.fixture
def engine(fresh_database: Any) -> Iterator[Engine]:
    """The database as the worker opens it."""
    opened = courier.engine(fresh_database.ingest_url)
    yield opened
    opened.dispose()


def test_a_new_period_begins_at_nothing(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace("Asia/Kathmandu")
    budget(books, workspace_id, "1", period="day")
    midnight = datetime(2026, 11, 10, 18, 15, tzinfo=UTC)  # 0:00 of the 11th there
    spend(books, workspace_id, at=midnight - timedelta(milliseconds=1))

    assert 3 == turn(engine, at=midnight - timedelta(milliseconds=1)).fired
    assert 0 == turn(engine, at=midnight).fired
    spend(books, workspace_id, at=midnight)
    assert 3 == turn(engine, at=midnight).fired


def test_it_stops_to_act_with_the_next_period(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace()
    budget(books, workspace_id, "1", action="block")
    spend(books, workspace_id, dollars=1)
    watch = Watch()
    turn(engine, watch=watch)
    december = datetime(2026, 12, 1, tzinfo=UTC)

    turn(engine, at=december, watch=watch)

    (row,) = acting(books)
    assert (None, None, None) == (row["acting_since"], row["acting_until"], row["acting_spent"])
    assert row["revision"] == books.sql("select keys from revision")[0]["keys"]


def test_the_month_of_kolkata_ends_at_its_own_midnight(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace("Asia/Kolkata")
    budget(books, workspace_id, "1", action="block", thresholds=[100])
    november = datetime(2026, 10, 31, 18, 30, tzinfo=UTC)
    watch = Watch()
    spend(books, workspace_id, at=november - timedelta(seconds=1))

    assert 1 == turn(engine, at=november - timedelta(seconds=1), watch=watch).acting
    assert november == acting(books)[0]["acting_until"]
    assert 0 == turn(engine, at=november, watch=watch).acting
    spend(books, workspace_id, at=november)
    assert (1, 1) == (turn(engine, at=november, watch=watch).fired, acting(books)[0]["acting_spent"])


@pytest.mark.parametrize(
    ("last", "first"),
    [("2026-10-25T22:59:59", "2026-10-25T23:00"), ("2026-03-29T21:59:59", "2026-03-29T22:00")],
)
def test_a_day_of_25_or_23_hours_is_one_period(books: Books, engine: Engine, last: str, first: str) -> None:
    workspace_id = books.workspace("Europe/Berlin")
    budget(books, workspace_id, "2", period="day", thresholds=[100])
    before, after = (datetime.fromisoformat(one).replace(tzinfo=UTC) for one in (last, first))
    spend(books, workspace_id, at=before.replace(hour=0))
    spend(books, workspace_id, at=before)

    assert 1 == turn(engine, at=before).fired
    spend(books, workspace_id, at=after)
    assert 0 == turn(engine, at=after).fired
