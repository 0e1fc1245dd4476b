"""Months: where they begin and end in every zone, and how they go from open to closed and back."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import event

from app.application import applications
from app.billing import closing, credit_notes, holding, ingest, periods, statements
from app.billing.statements import Statement
from app.extensions import transaction
from app.units import bucket_of, new_id
from app.workspace.names import Invalid
from tests.billing.books import Books, call

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
LATER = datetime(2026, 12, 24, 12, 0, tzinfo=UTC)

ENDS = {
    "UTC": ("2026-10-01T00:00Z", "2026-11-01T00:00Z"),
    "Europe/Berlin": ("2026-09-30T22:00Z", "2026-10-31T23:00Z"),
    "America/New_York": ("2026-10-01T04:00Z", "2026-11-01T04:00Z"),
    "Asia/Kolkata": ("2026-09-30T18:30Z", "2026-10-31T18:30Z"),
    "Asia/Kathmandu": ("2026-09-30T18:15Z", "2026-10-31T18:15Z"),
    "Australia/Lord_Howe": ("2026-09-30T13:30Z", "2026-10-31T13:00Z"),
    "Pacific/Kiritimati": ("2026-09-30T10:00Z", "2026-10-31T10:00Z"),
    "Etc/GMT+12": ("2026-10-01T12:00Z", "2026-11-01T12:00Z"),
}
"""October of 2026: Berlin leaves summer time in it, Lord Howe enters its own, of half an hour."""


def close(workspace_id: UUID, month: date = OCTOBER, **options: Any) -> Statement:
    """Draft and close a month."""
    closing.draft(workspace_id, month, now=LATER)
    return closing.close(workspace_id, month, now=LATER, **options)


@pytest.mark.parametrize("timezone", sorted(ENDS))
def test_a_month_has_the_ends_of_its_zone_and_each_call_is_in_one(app: Flask, books: Books, timezone: str) -> None:
    workspace_id, model_id = books.workspace(timezone), new_id()
    books.price(model_id, input="1", output="1")
    start, end = (datetime.fromisoformat(one) for one in ENDS[timezone])
    tick = timedelta(milliseconds=1)
    for instant in (start - tick, start, end - tick, end):
        books.put(call(workspace_id, at=instant, model_id=model_id))
    books.take()

    issued = [close(workspace_id, month) for month in (date(2026, 9, 1), OCTOBER, NOVEMBER)]

    period = periods.get(workspace_id, OCTOBER)
    assert app
    assert (start, end, timezone) == (period.start, period.end, period.timezone)
    assert [1, 2, 1] == [sum(line.calls for line in one.lines) for one in issued]


@pytest.mark.parametrize(("day", "zone"), [("2026-03-29", "Europe/Berlin"), ("2026-10-25", "Europe/Berlin")])
def test_days_on_which_clocks_change_are_whole_on_the_bill(app: Flask, books: Books, day: str, zone: str) -> None:
    """A call in every quarter-hour of the day: 92 of them in spring, 100 in autumn."""
    workspace_id, model_id = books.workspace(zone), new_id()
    books.price(model_id, input="1", output="1")
    first = datetime.fromisoformat(f"{day}T00:00+0{1 if '-03-' in day else 2}:00")
    quarters = 92 if "-03-" in day else 100
    books.put(*(call(workspace_id, at=first + n * timedelta(minutes=15), model_id=model_id) for n in range(quarters)))
    books.take()

    issued = close(workspace_id, first.date().replace(day=1))

    assert app
    assert quarters == sum(line.calls for line in issued.lines)
    assert quarters * Decimal("0.00011") == sum(line.amount for line in issued.lines if line.kind == "usage")


def test_a_move_to_another_zone_neither_loses_nor_doubles_a_call(app: Flask, books: Books) -> None:
    """October closes in UTC+14 and the workspace moves to UTC-12: November begins where October ended."""
    workspace_id, model_id = books.workspace("Pacific/Kiritimati"), new_id()
    books.price(model_id, input="1", output="1")
    start = datetime.fromisoformat(ENDS["Pacific/Kiritimati"][1])
    books.put(*(call(workspace_id, at=start + n * timedelta(hours=1), model_id=model_id) for n in range(-2, 30)))
    books.take()
    october = close(workspace_id)

    books.move(workspace_id, "Etc/GMT+12")
    november = close(workspace_id, NOVEMBER)

    assert app
    assert (start, "Etc/GMT+12") == (periods.get(workspace_id, NOVEMBER).start, november_zone(workspace_id))
    assert [2, 30] == [sum(line.calls for line in one.lines) for one in (october, november)]


def november_zone(workspace_id: UUID) -> str:
    return periods.get(workspace_id, NOVEMBER).timezone


def test_months_may_close_in_any_order(app: Flask, books: Books) -> None:
    workspace_id = books.workspace("Asia/Kolkata")
    close(workspace_id, NOVEMBER)
    books.move(workspace_id, "Pacific/Kiritimati")

    close(workspace_id, OCTOBER)

    assert app
    assert periods.get(workspace_id, OCTOBER).end == periods.get(workspace_id, NOVEMBER).start


@pytest.mark.parametrize("now", ["2026-10-31T18:29:59Z", "2026-10-15T00:00Z"])
def test_a_month_that_has_not_ended_where_the_workspace_is_stays_open(app: Flask, books: Books, now: str) -> None:
    workspace_id = books.workspace("Asia/Kolkata")

    with pytest.raises(Invalid, match="has not ended"):
        closing.draft(workspace_id, OCTOBER, now=datetime.fromisoformat(now))

    assert app
    assert "open" == periods.get(workspace_id, OCTOBER).state
    closing.draft(workspace_id, OCTOBER, now=datetime.fromisoformat("2026-10-31T18:30Z"))


def test_a_draft_goes_back_to_open_and_follows_the_zone_again(app: Flask, books: Books) -> None:
    workspace_id = books.workspace("Asia/Kolkata")
    closing.draft(workspace_id, OCTOBER, now=LATER)
    books.move(workspace_id, "UTC")
    assert "Asia/Kolkata" == periods.get(workspace_id, OCTOBER).timezone

    closing.withdraw(workspace_id, OCTOBER)

    assert app
    assert ("open", "UTC") == (periods.get(workspace_id, OCTOBER).state, periods.get(workspace_id, OCTOBER).timezone)


@pytest.mark.parametrize("state", ["open", "draft", "closed"])
def test_each_step_is_taken_from_the_state_before_it_alone(app: Flask, books: Books, state: str) -> None:
    workspace_id = books.workspace()
    steps = {"open": (), "draft": ("draft",), "closed": ("draft", "close")}
    allowed = {"open": {"draft"}, "draft": {"close", "withdraw"}, "closed": {"reopen"}}
    acts: dict[str, Any] = {
        "draft": lambda: closing.draft(workspace_id, OCTOBER, now=LATER),
        "withdraw": lambda: closing.withdraw(workspace_id, OCTOBER),
        "close": lambda: closing.close(workspace_id, OCTOBER, now=LATER),
        "reopen": lambda: closing.reopen(workspace_id, OCTOBER, "a mistake", now=LATER),
    }
    for step in steps[state]:
        acts[step]()

    for name in acts.keys() - allowed[state]:
        with pytest.raises(Invalid):
            acts[name]()

    assert app
    assert state == periods.get(workspace_id, OCTOBER).state


def test_a_reopened_month_voids_its_statement_and_the_next_has_another_number(app: Flask, books: Books) -> None:
    workspace_id = books.workspace()
    first = close(workspace_id)

    closing.reopen(workspace_id, OCTOBER, "the price was wrong", now=LATER)
    second = close(workspace_id)

    old, new = statements.get(workspace_id, first.statement_id), statements.get(workspace_id, second.statement_id)
    assert app
    assert (LATER, None) == (old.voided_at, new.voided_at)
    assert (1, 2) == (old.version, new.version)
    assert old.number.endswith("-202610-1")
    assert new.number.endswith("-202610-2")
    (entry,) = books.sql("select * from audit_outbox where action = 'period.reopen'")
    assert ("the price was wrong", first.number) == (entry["reason"], entry["before"]["statement"])


def test_every_step_leaves_an_audit_entry(app: Flask, books: Books) -> None:
    workspace_id = books.workspace()
    closing.draft(workspace_id, OCTOBER, now=LATER)
    closing.withdraw(workspace_id, OCTOBER)
    close(workspace_id)
    closing.reopen(workspace_id, OCTOBER, "a mistake", now=LATER)
    credit_notes.grant(workspace_id, OCTOBER, Decimal(1), "kindness", now=LATER)

    entries = books.sql("select action from audit_outbox where workspace_id = %s order by position", workspace_id)

    steps = ["period.draft", "period.withdraw", "period.draft", "period.close", "period.reopen", "credit.create"]
    assert app
    assert steps == [entry["action"] for entry in entries]


def test_months_are_listed_from_the_running_one_down_to_the_first_call(app: Flask, books: Books) -> None:
    workspace_id = books.workspace("Asia/Kolkata")
    applications.create(workspace_id, "chatbot")
    books.put(call(workspace_id, at=datetime(2026, 8, 31, 18, 29, tzinfo=UTC)))
    books.take()
    close(workspace_id)

    listed = periods.listed(workspace_id, now=datetime(2026, 11, 30, 19, 0, tzinfo=UTC))

    assert app
    assert ["2026-12", "2026-11", "2026-10", "2026-09", "2026-08"] == [one.name for one in listed]
    assert ["open", "open", "closed", "open", "open"] == [one.state for one in listed]


def test_a_month_with_calls_past_their_retention_stays_as_it_is(app: Flask, books: Books) -> None:
    workspace_id = books.workspace()
    close(workspace_id)
    closing.draft(workspace_id, date(2026, 9, 1), now=LATER)
    books.owner.execute("insert into retention_mark values ('ledger', '2026-11-01')")

    for act in (
        lambda: closing.reopen(workspace_id, OCTOBER, "a mistake", now=LATER),
        lambda: closing.draft(workspace_id, date(2026, 8, 1), now=LATER),
        lambda: closing.close(workspace_id, date(2026, 9, 1), now=LATER),
    ):
        with pytest.raises(Invalid, match="past their retention"):
            act()

    assert app
    assert close(workspace_id, NOVEMBER)
    assert "closed" == periods.get(workspace_id, OCTOBER).state


def test_a_page_of_months_asks_the_database_as_often_as_one_month(app: Flask, books: Books) -> None:
    workspace_id = books.workspace("Asia/Kathmandu")
    books.put(call(workspace_id, at=datetime(2020, 1, 5, tzinfo=UTC)))
    books.take()
    for month in (OCTOBER, date(2026, 3, 1)):
        close(workspace_id, month)
    asked: list[str] = []

    with transaction(workspace_id) as session:
        event.listen(session.get_bind(), "before_cursor_execute", lambda *given: asked.append(given[2]))
        listed = periods.listed(workspace_id, now=LATER)
        count = sum("FROM billing_period" in one and "max(" not in one and "min(" not in one for one in asked)

    assert app
    assert (periods.PAGE, 1) == (len(listed), count)
    assert [periods.get(workspace_id, one.month) for one in listed] == listed


def test_ingest_of_a_workspace_waits_while_its_month_is_closed(app: Flask, books: Books) -> None:
    """Closing holds the lock of the bucket, so a late call is on the statement or in a correction, never in neither."""
    workspace_id = books.workspace()
    with transaction(workspace_id) as session:
        holding.hold(session, workspace_id)
        assert ingest.ingest(bucket_of(workspace_id), database=books.ingest, redis=books.redis) is None

    assert app
    assert ingest.ingest(bucket_of(workspace_id), database=books.ingest, redis=books.redis) is not None
