"""Budgets watched on the ledger: what counts, once in each period, and what the proxies are told."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.billing import budget_watch
from app.billing.budget_watch import Watch
from app.units import new_id
from app.workspace import courier
from tests.billing.books import NOON, Books, call
from tests.billing.watched import acting, alerts, budget, channel, spend, turn


@pytest.fixture
def engine(fresh_database: Any) -> Iterator[Engine]:
    """The database as the worker opens it."""
    opened = courier.engine(fresh_database.ingest_url)
    yield opened
    opened.dispose()


def test_each_threshold_is_told_once_in_a_period(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace()
    budget(books, workspace_id)

    found = []
    for _ in range(12):
        spend(books, workspace_id)
        found.append(turn(engine).fired)

    assert [0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0] == found
    assert [(50, 5), (80, 8), (100, 10)] == alerts(books)


def test_a_leap_tells_every_threshold_that_it_passes(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace()
    budget(books, workspace_id)
    spend(books, workspace_id, dollars=9)

    assert 2 == turn(engine).fired
    assert [(50, 9), (80, 9)] == alerts(books)


@pytest.mark.parametrize("scope", ["application", "key", "model"])
@pytest.mark.parametrize("period", ["hour", "day", "week", "month", "total"])
def test_only_calls_of_the_scope_count(books: Books, engine: Engine, scope: str, period: str) -> None:
    workspace_id, mine, other = books.workspace(), new_id(), new_id()
    budget(books, workspace_id, "2", scope=scope, scope_id=mine, period=period)
    spend(books, workspace_id, dollars=1, **{f"{scope}_id": mine})
    spend(books, workspace_id, dollars=5, **{f"{scope}_id": other})

    turn(engine)

    assert [(50, 1)] == alerts(books)


def test_calls_without_a_price_cost_a_budget_nothing(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace()
    budget(books, workspace_id, "0", action="block")
    books.put(call(workspace_id))
    books.take()

    turn(engine)

    assert [] == alerts(books)


def test_other_workspaces_are_left_alone(books: Books, engine: Engine) -> None:
    mine, theirs = books.workspace(), books.workspace()
    budget(books, theirs, "1")
    spend(books, mine, dollars=3)

    assert 0 == turn(engine).fired


def test_a_used_up_budget_acts_and_tells_the_proxies(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace()
    budget_id = budget(books, workspace_id, "2", action="block")
    (before,) = books.sql("select keys from revision")
    spend(books, workspace_id, dollars=2)

    turn(engine)

    (row,) = acting(books)
    assert (budget_id, NOON, datetime(2026, 12, 1, tzinfo=UTC), 2) == (
        row["budget_id"],
        row["acting_since"],
        row["acting_until"],
        row["acting_spent"],
    )
    (after,) = books.sql("select keys from revision")
    assert before["keys"] + 1 == after["keys"] == row["revision"]
    turn(engine)
    assert [after] == books.sql("select keys from revision"), "nothing is news"


def test_a_budget_of_nothing_acts_before_the_first_call(books: Books, engine: Engine) -> None:
    budget(books, books.workspace(), "0", action="block")

    assert 1 == turn(engine).acting
    assert [] == alerts(books)


def test_a_budget_that_only_tells_never_acts(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace()
    budget(books, workspace_id, "1")
    spend(books, workspace_id, dollars=2)

    assert 0 == turn(engine).acting
    assert acting(books)[0]["acting_since"] is None


def test_without_new_usage_nothing_is_looked_at(books: Books, engine: Engine) -> None:
    mine, theirs = books.workspace(), books.workspace()
    budget(books, mine)
    budget(books, theirs)
    watch = Watch()
    assert 2 == turn(engine, watch=watch).looked_at

    assert 0 == turn(engine, watch=watch).looked_at
    spend(books, mine)
    assert 1 <= turn(engine, watch=watch).looked_at
    assert 2 == turn(engine, at=NOON + budget_watch.LOOK_AT_ALL_EVERY, watch=watch).looked_at


def test_a_changed_budget_is_looked_at_at_once(books: Books, engine: Engine) -> None:
    budget_id = budget(books, books.workspace())
    watch = Watch()
    turn(engine, watch=watch)
    books.sql("update budget set checked_at = null where budget_id = %s returning 1", budget_id)

    assert 1 == turn(engine, watch=watch).looked_at


def test_an_alert_is_on_its_way_to_the_channels_that_want_it(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace()
    budget(books, workspace_id, "1", name="Search", thresholds=[100])
    channel(books, workspace_id, "all")
    channel(books, workspace_id, "none", events="{}")
    channel(books, workspace_id, "off", enabled=False)
    spend(books, workspace_id, dollars=1)

    with Session(engine) as session:
        budget_watch.turn(session, Watch(public_url="https://gateway.test"), NOON)
    turn(engine)

    (row,) = books.sql(
        "select c.name, d.event, d.payload from delivery d join channel c using (workspace_id, channel_id)"
    )
    assert ("all", "budget") == (row["name"], row["event"])
    assert row["payload"]["title"].endswith(": budget Search has reached 100%")
    assert "$1.00 of $1.00 spent. It resets at 2026-12-01 00:00 (UTC)." == row["payload"]["text"]
    assert row["payload"]["link"].startswith(f"https://gateway.test/w/{workspace_id}/budgets/")
    details = row["payload"]["details"]
    assert ("1.000000", "1.000000", 100) == tuple(details[n] for n in ("spent_usd", "limit_usd", "threshold_percent"))


def test_bc_027_a_tenth_and_two_tenths_use_up_three_tenths(books: Books, engine: Engine) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    budget(books, workspace_id, "0.3", action="block")
    books.price(model_id, input="1")
    books.put(*(call(workspace_id, model_id=model_id, meters={"input": tokens}) for tokens in (100_000, 200_000)))
    books.take()

    assert 1 == turn(engine).acting
    assert [(50, Decimal("0.3")), (80, Decimal("0.3")), (100, Decimal("0.3"))] == alerts(books)


def test_bc_053_what_goes_beyond_the_limit_is_told_in_full(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace()
    budget(books, workspace_id, "0.0003", action="block", thresholds=[100])
    spend(books, workspace_id)

    assert 1 == turn(engine).acting
    assert ([(100, 1)], 1) == (alerts(books), acting(books)[0]["acting_spent"])


def test_what_is_spent_while_it_acts_is_known(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace()
    budget(books, workspace_id, "1", action="downgrade", downgrade_to="m")
    spend(books, workspace_id)
    turn(engine)
    (before,) = acting(books)
    spend(books, workspace_id, dollars=3)

    turn(engine)

    (after,) = acting(books)
    assert (1, 4) == (before["acting_spent"], after["acting_spent"])
    assert before["revision"] == after["revision"], "which is nothing that proxies need to know"
