"""Budgets watched by the worker: by two at once, after a crash, thousands of them, and when there is no time for all."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.billing import budget_sums
from app.billing.budget_watch import Watch
from app.units import new_id
from app.workspace import budget_states, budgets, courier
from tests.billing.books import NOON, Books, call
from tests.billing.watched import budget, channel, spend, turn

MANY = 400
SCOPES = ("application", "key", "model")
PERIODS = ("hour", "day", "week", "month", "total")
IN_BULK = """
    insert into budget (workspace_id, budget_id, name, scope, scope_id, period, limit_usd, action)
    select %s, gen_random_uuid(), gen_random_uuid()::text, %s, gen_random_uuid(), %s, 0, 'block' from generate_series(1, %s) n"""


@pytest.fixture
def engine(fresh_database: Any) -> Iterator[Engine]:
    """The database as the worker opens it."""
    opened = courier.engine(fresh_database.ingest_url)
    yield opened
    opened.dispose()


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """What is sent to the database while the block runs."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


def test_two_workers_at_once_give_each_alert_once(books: Books, engine: Engine, fresh_database: Any) -> None:
    workspaces = [books.workspace() for _ in range(5)]
    for one in workspaces:
        budget(books, one, "1", action="block")
        channel(books, one)
    spend(books, *workspaces)
    other, together = courier.engine(fresh_database.ingest_url), Barrier(2)

    def work(opened: Engine) -> int:
        together.wait(5)
        return turn(opened).fired

    with ThreadPoolExecutor(2) as pool:
        fired = list(pool.map(work, (engine, other)))
    other.dispose()

    assert 15 == sum(fired)
    assert 15 == len(books.sql("select 1 from budget_alert")) == len(books.sql("select 1 from delivery"))
    (row,) = books.sql("select keys from revision")
    assert sorted(range(row["keys"] - 4, row["keys"] + 1)) == sorted(
        one["revision"] for one in books.sql("select revision from budget")
    ), "each workspace is one change"


def test_an_alert_without_its_deliveries_is_none(books: Books, engine: Engine) -> None:
    workspace_id = books.workspace()
    budget(books, workspace_id, "1", action="block")
    channel(books, workspace_id)
    spend(books, workspace_id)
    books.owner.execute("revoke insert on delivery from gateway_ingest")
    with pytest.raises(DBAPIError):
        turn(engine)
    assert [] == books.sql("select 1 from budget_alert")
    assert [None] == [row["acting_since"] for row in books.sql("select acting_since from budget")]

    books.owner.execute("grant insert on delivery to gateway_ingest")
    turn(engine)

    assert 3 == len(books.sql("select 1 from budget_alert")) == len(books.sql("select 1 from delivery"))


def test_hundreds_of_budgets_take_as_many_statements_as_one(books: Books, engine: Engine) -> None:
    few, many = books.workspace(), books.workspace()
    application_id = new_id()
    for one in (few, many):
        channel(books, one)
        budget(books, one, "1", scope="application", scope_id=application_id, action="block")
    for scope in SCOPES:
        for period in PERIODS:
            books.owner.execute(IN_BULK, [many, scope, f"{period}", MANY // 15])
    spend(books, few, many, application_id=application_id)
    with statements(engine) as sent:
        watch = Watch(waiting={few: None})
        outcome = turn(engine, watch=watch)
    counted = [one for one in sent if "rollup" in one]

    assert 2 + MANY // 15 * 15 == outcome.looked_at
    assert (6, 2) == (outcome.fired, len(counted))
    assert len(sent) < 25


def test_the_sums_of_many_budgets_are_those_of_each(books: Books, engine: Engine) -> None:
    workspace_id, ids = books.workspace("Asia/Kathmandu"), {f"{scope}_id": new_id() for scope in SCOPES}
    for scope in SCOPES:
        for period in PERIODS:
            budget(
                books, workspace_id, name=f"{scope} {period}", scope=scope, scope_id=ids[f"{scope}_id"], period=period
            )
            budget(books, workspace_id, name=f"other {scope} {period}", scope=scope, scope_id=new_id(), period=period)
    for period in PERIODS:
        budget(books, workspace_id, name=f"workspace {period}", period=period)
    spend(books, workspace_id, **ids)
    spend(books, workspace_id)
    books.put(call(workspace_id, **(ids | {"model_id": new_id()})))
    books.take()

    with Session(engine) as session:
        watched = budget_states.locked(session, workspace_id)
        found = [budgets.value(row) for row in watched]
        stood = budget_sums.standings(session, workspace_id, found, NOON, "Asia/Kathmandu")

    spent = {one.budget.rule.name: (one.spent, one.unpriced) for one in stood}
    assert {(1, 0)} == {spent[f"model {period}"] for period in PERIODS}
    assert {(1, 1)} == {spent[f"{scope} {period}"] for scope in ("application", "key") for period in PERIODS}
    assert {(2, 1)} == {spent[f"workspace {period}"] for period in PERIODS}
    assert {(0, 0)} == {spent[f"other {scope} {period}"] for scope in SCOPES for period in PERIODS}


def test_without_time_for_all_each_has_its_turn(books: Books, engine: Engine) -> None:
    workspaces = [books.workspace() for _ in range(4)]
    for one in workspaces:
        budget(books, one, "1")
    spend(books, *workspaces)
    watch = Watch()

    fired = [turn(engine, watch=watch, limit_s=0).fired for _ in workspaces]

    assert [3, 3, 3, 3] == fired
    assert 0 == turn(engine, watch=watch, limit_s=0).looked_at


def test_new_usage_of_one_does_not_push_others_back(books: Books, engine: Engine) -> None:
    first, second, third = sorted(books.workspace() for _ in range(3))
    for one in (first, second, third):
        budget(books, one, "1")
    watch = Watch()
    turn(engine, watch=watch, limit_s=0)
    spend(books, first)

    assert 0 == turn(engine, watch=watch, limit_s=0).fired
    assert [third, first] == list(watch.waiting)


def test_one_that_fails_does_not_stop_the_others(books: Books, engine: Engine) -> None:
    bad, good = sorted((books.workspace(), books.workspace()))
    for one in (bad, good):
        budget(books, one, "1")
        channel(books, one)
    spend(books, bad, good)
    books.owner.execute(f"alter table delivery add constraint broken check (workspace_id <> '{bad}')".encode())
    watch = Watch()
    with pytest.raises(DBAPIError):
        turn(engine, watch=watch)

    with pytest.raises(DBAPIError):
        turn(engine, watch=watch)

    assert [good] == [row["workspace_id"] for row in books.sql("select distinct workspace_id from budget_alert")]
    assert [bad] == list(watch.waiting)
