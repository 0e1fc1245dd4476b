"""Statements: exact lines, one rounding line, and a total that is what was used, corrected and credited."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from app.application import applications
from app.billing import closing, credit_notes, period_usage, period_view, periods, statement_csv, statements
from app.billing.statements import Statement
from app.extensions import transaction
from app.units import new_id
from app.workspace import workspaces
from app.workspace.names import Invalid
from tests.billing.books import Books, call

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
LATER = datetime(2026, 12, 24, 12, 0, tzinfo=UTC)
THEN = datetime(2026, 10, 15, 12, 0, tzinfo=UTC)
BILLION = 1_000_000_000


def close(workspace_id: UUID, month: date = OCTOBER, **options: Any) -> Statement:
    """Draft and close a month; the statement as it was stored."""
    closing.draft(workspace_id, month, now=LATER)
    issued = closing.close(workspace_id, month, now=LATER, **options)
    stored = statements.get(workspace_id, issued.statement_id)
    assert issued == stored
    return stored


def amounts(statement: Statement, kind: str = "usage") -> list[Decimal]:
    return [line.amount for line in statement.lines if line.kind == kind]


def test_lines_are_by_application_and_model_and_add_up_to_the_total(app: Flask, books: Books) -> None:
    workspace_id = books.workspace()
    chatbot, search = (applications.create(workspace_id, name) for name in ("chatbot", "search"))
    small, large = new_id(), new_id()
    books.price(small, input="0.1", output="0.2")
    books.price(large, input="3", output="15")
    for application_id, model_id in ((chatbot, small), (chatbot, large), (search, large), (chatbot, small)):
        alias = "small" if model_id == small else "large"
        books.put(call(workspace_id, at=THEN, application_id=application_id, model_id=model_id, alias=alias))
    books.take()

    statement = close(workspace_id)

    assert app
    assert ["chatbot · large", "chatbot · small", "search · large", "Rounding to whole cents"] == [
        line.description for line in statement.lines
    ]
    assert [Decimal("0.00153"), Decimal("0.000042"), Decimal("0.00153")] == amounts(statement)
    assert [(1, 110), (2, 220), (1, 110)] == [(line.calls, line.tokens) for line in statement.lines[:-1]]
    assert Decimal("0.00") == statement.total == sum(line.amount for line in statement.lines)
    assert [Decimal("-0.003102")] == amounts(statement, "rounding")


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    ("price", "tokens", "billed", "total"),
    [
        ("0.000000000001", 3 * BILLION, "0.000000003000", "0.00"),
        ("123456.123456789012", 3 * BILLION, "370368370.370367036000", "370368370.37"),
        ("1", 5_000, "0.005000000000", "0.00"),
        ("1", 15_000, "0.015000000000", "0.02"),
        ("1", 0, "0", "0.00"),
    ],
)
def test_prices_of_twelve_decimals_nothing_and_three_billion_tokens_stay_exact(
    books: Books, price: str, tokens: int, billed: str, total: str
) -> None:
    """Half a cent goes to the even one: 0.005 to 0.00, 0.015 to 0.02."""
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, input=price, output="0")
    books.put(call(workspace_id, at=THEN, model_id=model_id, meters={"input": tokens}))
    books.take()

    statement = close(workspace_id)

    assert ([Decimal(billed)], Decimal(total)) == (amounts(statement), statement.total)
    assert statement.total == sum(line.amount for line in statement.lines)
    assert [tokens] == [line.tokens for line in statement.lines if line.kind == "usage"]


def test_three_hundred_calls_of_three_billion_tokens_overflow_nothing(app: Flask, books: Books) -> None:
    workspace_id, model_id, application_id = books.workspace(), new_id(), new_id()
    books.price(model_id, input="999.999999999999", output="1")
    about = {"model_id": model_id, "application_id": application_id, "meters": {"input": 3 * BILLION}}
    books.put(*(call(workspace_id, at=THEN + timedelta(seconds=n), **about) for n in range(300)))
    books.take()

    statement = close(workspace_id)

    assert app
    assert [900 * BILLION] == [line.tokens for line in statement.lines if line.kind == "usage"]
    assert [Decimal("899999999.9999991")] == amounts(statement)
    assert Decimal("900000000.00") == statement.total == sum(line.amount for line in statement.lines)


def test_a_month_without_anything_has_a_statement_of_nothing(app: Flask, books: Books) -> None:
    statement = close(books.workspace())

    assert app
    assert ["rounding"] == [line.kind for line in statement.lines]
    assert Decimal(0) == statement.total


def test_unpriced_calls_stop_the_close_until_somebody_confirms_them(app: Flask, books: Books) -> None:
    workspace_id = books.workspace()
    books.put(call(workspace_id, at=THEN))
    books.take()
    closing.draft(workspace_id, OCTOBER, now=LATER)

    with pytest.raises(Invalid, match="1 call has no price"):
        closing.close(workspace_id, OCTOBER, now=LATER)
    issued = closing.close(workspace_id, OCTOBER, now=LATER, unpriced_confirmed=True)

    assert app
    assert issued.lines[0].description.endswith("(1 of 1 calls unpriced)")
    assert Decimal(0) == issued.total


def test_a_running_recompute_of_the_month_stops_the_close(app: Flask, books: Books) -> None:
    workspace_id, run_id = books.workspace(), new_id()
    books.sql(
        "insert into rating_run (workspace_id, run_id, kind, state, since, until, reason) values"
        " (%s, %s, 'apply', 'running', '2026-10-31Z', '2026-11-02Z', 'test') returning 1",
        workspace_id,
        run_id,
    )
    closing.draft(workspace_id, OCTOBER, now=LATER)
    with pytest.raises(Invalid, match="is being recomputed"):
        closing.close(workspace_id, OCTOBER, now=LATER)

    books.sql("update rating_run set state = 'done' where run_id = %s returning 1", run_id)

    assert app
    assert closing.close(workspace_id, OCTOBER, now=LATER)


def test_credits_are_taken_off_and_may_go_below_nothing(app: Flask, books: Books) -> None:
    workspace_id = books.workspace()
    credit_notes.grant(workspace_id, OCTOBER, Decimal("10.000000000001"), "an outage", now=LATER)
    credit_notes.grant(workspace_id, OCTOBER, Decimal(-2), "support", now=LATER)

    statement = close(workspace_id)

    assert app
    assert ["Credit: an outage", "Credit: support"] == [line.description for line in statement.lines[:2]]
    assert [Decimal("-10.000000000001"), Decimal(2)] == amounts(statement, "credit")
    assert Decimal("-8.00") == statement.total


@pytest.mark.parametrize(
    ("month", "amount", "reason"),
    [
        (OCTOBER, "1", "it is closed"),
        (date(2027, 1, 1), "1", "it has not begun"),
        (NOVEMBER, "0", "nothing"),
        (NOVEMBER, "0.0000000000001", "thirteen decimals"),
        (NOVEMBER, "1", ""),
        (NOVEMBER, "1", "=1+1"),
    ],
)
def test_a_credit_that_cannot_be_is_refused(app: Flask, books: Books, month: date, amount: str, reason: str) -> None:
    workspace_id = books.workspace()
    close(workspace_id)

    with pytest.raises(Invalid):
        credit_notes.grant(workspace_id, month, Decimal(amount), reason, now=LATER)

    assert app
    assert [] == books.sql("select * from credit")


def test_the_purchase_order_number_is_that_of_the_close(app: Flask, books: Books) -> None:
    workspace_id = books.workspace()
    workspaces.set_po_number(workspace_id, "PO 42")
    first = close(workspace_id)
    workspaces.set_po_number(workspace_id, None)

    assert app
    assert ("PO 42", "PO 42") == (first.po_number, statements.get(workspace_id, first.statement_id).po_number)
    assert close(workspace_id, NOVEMBER).po_number is None


def test_the_fingerprint_tells_a_changed_line(app: Flask, books: Books) -> None:
    workspace_id = books.workspace()
    credit_notes.grant(workspace_id, OCTOBER, Decimal(1), "an outage", now=LATER)
    statement = close(workspace_id)
    kept = periods.get(workspace_id, OCTOBER).totals_hash
    assert kept == statement.totals_hash

    books.sql("update statement_line set amount = -2 where kind = 'credit' returning 1")

    assert app
    assert kept != statements.get(workspace_id, statement.statement_id).totals_hash


def test_numbers_of_two_workspaces_differ(app: Flask, books: Books) -> None:
    numbers = {close(books.workspace()).number for _ in range(5)}

    assert app
    assert 5 == len(numbers)


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_the_draft_shows_what_the_statement_will_say(app: Flask, books: Books, timezone: str) -> None:
    """The page reads the sums of days, the close reads the ledger."""
    workspace_id, model_id = books.workspace(timezone), new_id()
    books.price(model_id, input="1", output="1")
    start = periods.get(workspace_id, OCTOBER).start
    books.put(*(call(workspace_id, at=start + n * timedelta(hours=5), model_id=model_id) for n in range(-2, 160)))
    books.take()
    closing.draft(workspace_id, OCTOBER, now=LATER)
    shown = period_view.of(workspace_id, OCTOBER, now=LATER)

    issued = closing.close(workspace_id, OCTOBER, now=LATER)

    assert app
    assert tuple(shown.lines) == issued.lines
    assert shown.total == issued.total
    assert issued.lines == tuple(period_view.of(workspace_id, OCTOBER, now=LATER).lines)


def test_where_days_and_month_do_not_fit_the_page_reads_the_ledger(app: Flask, books: Books) -> None:
    """The workspace has moved, its sums of days are still those of the zone before."""
    workspace_id, model_id = books.workspace("Asia/Kolkata"), new_id()
    books.price(model_id, input="1", output="1")
    books.put(call(workspace_id, at=datetime(2026, 10, 1, 2, 0, tzinfo=UTC), model_id=model_id))
    books.take()
    books.move(workspace_id, "UTC")

    with transaction(workspace_id) as session:
        found = [
            period_usage.quick(session, periods.read(session, workspace_id, month))
            for month in (date(2026, 9, 1), OCTOBER)
        ]

    assert app
    assert [0, 1] == [sum(row.calls for row in rows) for rows in found]


@pytest.mark.parametrize("flavour", ["machine", "spreadsheet"])
def test_the_csv_has_every_line_and_digit(app: Flask, books: Books, flavour: str) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    application_id = applications.create(workspace_id, 'a "bot", or two')
    books.price(model_id, input="0.000001", output="0")
    books.put(call(workspace_id, at=THEN, model_id=model_id, application_id=application_id, alias="m"))
    books.take()
    credit_notes.grant(workspace_id, OCTOBER, Decimal("0.25"), "an outage", now=LATER)
    statement = close(workspace_id)

    written = statement_csv.of(statement, flavour).decode("utf-8-sig" if flavour == "spreadsheet" else "utf-8")

    rows = list(csv.DictReader(io.StringIO(written)))
    assert app
    assert ['a "bot", or two · m', "Credit: an outage", "Rounding to whole cents"] == [
        row["description"] for row in rows
    ]
    assert ["0.00000000001", "-0.25", "-0.00000000001"] == [row["amount"] for row in rows]
    assert statement.total == sum(Decimal(row["amount"]) for row in rows)
    assert {(statement.number, "2026-10", "USD")} == {(row["statement"], row["month"], row["currency"]) for row in rows}
