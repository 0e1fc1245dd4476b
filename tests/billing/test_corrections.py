"""Corrections: what comes late for a closed month, and what becomes of it when the month is reopened."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from psycopg import Connection

from app.billing import closing, late_calls, periods, statements
from app.billing.statements import Statement
from app.units import new_id
from tests.billing.books import Books, call

RUNNING = datetime.now(UTC).date().replace(day=1)
"""Ingest goes by the clock, so the months of these tests are those around it."""
LAST = periods.before(RUNNING)
OLD = periods.before(LAST)
OLDER = periods.before(OLD)
THEN = datetime(OLD.year, OLD.month, 15, 12, 0, tzinfo=UTC)
CLOSED_ON = datetime(LAST.year, LAST.month, 2, 9, 0, tzinfo=UTC)
LATER = datetime(RUNNING.year, RUNNING.month, 1, tzinfo=UTC) + timedelta(days=100)
COST = Decimal("0.00011")


@pytest.fixture
def late(app: Flask, books: Books) -> "Late":
    assert app
    return Late(books)


class Late:
    """A workspace with one priced model, whose months can be closed."""

    def __init__(self, books: Books, timezone: str = "UTC") -> None:
        self.books, self.workspace_id = books, books.workspace(timezone)
        self.model_id, self.application_id = new_id(), new_id()
        books.price(self.model_id, input="1", output="1")

    def call(self, at: datetime = THEN, **changes: Any) -> Any:
        about = {"model_id": self.model_id, "application_id": self.application_id, "alias": "m"}
        return call(self.workspace_id, at=at, **about | changes)

    def take(self, *calls: Any) -> None:
        self.books.put(*calls)
        self.books.take()

    def close(self, month: date = OLD, **options: Any) -> Statement:
        now = LATER if month >= RUNNING else datetime.now(UTC)
        closing.draft(self.workspace_id, month, now=now)
        return closing.close(self.workspace_id, month, now=now, **options)

    def corrections(self) -> list[tuple[Any, ...]]:
        rows = self.books.sql("select * from correction where workspace_id = %s order by created_at", self.workspace_id)
        return [(row["closed_month"], row["into_month"], row["calls"], row["amount"]) for row in rows]


def test_a_call_that_comes_after_the_close_is_in_the_ledger_and_corrects_the_running_month(late: Late) -> None:
    late.take(late.call())
    issued = late.close()

    late.take(late.call(), late.call())

    assert 3 == len(late.books.rows())
    assert [(OLD, RUNNING, 2, 2 * COST)] == late.corrections()
    assert issued == statements.get(late.workspace_id, issued.statement_id)
    (line,) = [one for one in late.close(RUNNING).lines if one.kind == "correction"]
    assert (2, 2 * COST, late.application_id, late.model_id) == (
        line.calls,
        line.amount,
        line.application_id,
        line.model_id,
    )
    assert line.description.startswith(f"Correction of {periods.name_of(OLD)}: ")


def test_calls_of_open_and_draft_months_correct_nothing(late: Late) -> None:
    late.close()
    closing.draft(late.workspace_id, OLDER, now=CLOSED_ON)

    late.take(late.call(THEN - timedelta(days=30)), late.call(THEN + timedelta(days=20)))

    assert [] == late.corrections()


def test_a_call_that_is_sent_twice_corrects_once(late: Late) -> None:
    late.close()
    event = late.call()

    late.take(event, event)
    late.take(event)

    assert [(OLD, RUNNING, 1, COST)] == late.corrections()


def test_a_late_settlement_corrects_by_its_difference(late: Late) -> None:
    before = late.call(state="provisional", meters={"input": 10, "output": 0})
    late.take(before)
    late.close()
    settled = late.call(event_id=before.event_id, key_id=before.key_id, deployment_id=before.deployment_id)

    late.take(settled)

    assert [(OLD, RUNNING, 0, Decimal("0.0001"))] == late.corrections()


def test_a_late_settlement_that_costs_the_same_corrects_nothing(late: Late) -> None:
    before = late.call(state="provisional")
    late.take(before)
    late.close()

    late.take(late.call(event_id=before.event_id))

    assert [] == late.corrections()


def test_an_unpriced_late_call_counts_and_adds_nothing(late: Late) -> None:
    late.close()

    late.take(late.call(model_id=new_id()))

    assert [(OLD, RUNNING, 1, Decimal(0))] == late.corrections()


@pytest.mark.parametrize("timezone", ["Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_late_calls_are_told_apart_by_the_ends_of_the_closed_month(app: Flask, books: Books, timezone: str) -> None:
    late = Late(books, timezone)
    period = closing.draft(late.workspace_id, OLD, now=CLOSED_ON)
    closing.close(late.workspace_id, OLD, now=CLOSED_ON)
    tick = timedelta(milliseconds=1)

    late.take(*(late.call(at) for at in (period.start - tick, period.end)))
    assert [] == late.corrections()
    late.take(*(late.call(at) for at in (period.start, period.end - tick)))

    assert app
    assert [2] == [calls for _, _, calls, _ in late.corrections()]


def test_corrections_of_one_workspace_are_not_anothers(late: Late) -> None:
    other = late.books.workspace()
    late.close()

    late.take(call(other, at=THEN, model_id=late.model_id))

    assert [] == late.corrections()
    assert [] == late.books.sql("select * from correction")


def test_a_reopened_month_bills_its_late_calls_itself_and_nothing_twice(late: Late) -> None:
    late.take(late.call())
    late.close()
    late.take(late.call())
    closing.reopen(late.workspace_id, OLD, "a mistake", now=datetime.now(UTC))

    issued = late.close()

    assert [(OLD, RUNNING, 1, COST), (OLD, RUNNING, -1, -COST)] == late.corrections()
    assert [2 * COST] == [line.amount for line in issued.lines if line.kind == "usage"]
    assert [] == [line for line in late.close(RUNNING).lines if line.kind == "correction"]


@pytest.mark.parametrize("seed", range(5))
def test_statements_add_up_to_the_ledger_in_any_order_of_calls_and_closes(app: Flask, books: Books, seed: int) -> None:
    """Calls, settlements, closes and reopenings come in any order; in the end every call is billed exactly once."""
    chance = random.Random(seed)
    late = Late(books, chance.choice(["UTC", "Asia/Kathmandu", "Australia/Lord_Howe"]))
    months = [OLD, OLDER, periods.before(OLDER)]
    open_calls: list[Any] = []
    for _ in range(30):
        _act(chance, late, months, open_calls)
    late.take(*(late.call(event_id=one.event_id, meters=one.meters) for one in open_calls))
    months_of_all = [*months, LAST, RUNNING]

    for month in months_of_all:
        if _state(late, month) != "closed":
            late.close(month)

    valid = late.books.sql("select * from statement join statement_line using (statement_id) where voided_at is null")
    lines = [row for row in valid if row["kind"] != "rounding"]
    assert app
    assert sum((row["billed_cost"] for row in late.books.rows()), Decimal(0)) == sum(line["amount"] for line in lines)
    assert len(late.books.rows()) == sum(line["calls"] for line in lines)


def _act(chance: random.Random, late: Late, months: list[date], open_calls: list[Any]) -> None:
    month = chance.choice(months)
    state, what = _state(late, month), chance.random()
    at = datetime(month.year, month.month, chance.randint(2, 28), tzinfo=UTC)
    if what < 0.4:
        late.take(late.call(at, meters={"input": chance.randint(0, 10**6)}))
    elif what < 0.6:
        open_calls.append(late.call(at, state="provisional", meters={"input": chance.randint(0, 10**6)}))
        late.take(open_calls[-1])
    elif what < 0.7 and open_calls:
        late.take(late.call(event_id=open_calls.pop().event_id, meters={"input": 7}))
    elif state == "closed":
        closing.reopen(late.workspace_id, month, "a mistake", now=datetime.now(UTC))
    else:
        late.close(month)


def _state(late: Late, month: date) -> str:
    rows = late.books.sql(
        "select state from billing_period where workspace_id = %s and month = %s", late.workspace_id, month
    )
    return rows[0]["state"] if rows else "open"


def test_a_batch_without_calls_of_closed_months_costs_one_look(late: Late, monkeypatch: pytest.MonkeyPatch) -> None:
    late.close()
    asked: list[str] = []
    execute = Connection.execute

    def watched(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(query if isinstance(query, str) else bytes(query).decode() if isinstance(query, bytes) else "")
        return execute(self, query, *arguments, **options)

    monkeypatch.setattr(Connection, "execute", watched)
    late.take(*(late.call(THEN + timedelta(days=20)) for _ in range(50)))

    assert [late_calls._WRITTEN] == [one for one in asked if "billing_period" in one]
