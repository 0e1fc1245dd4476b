"""CSV of usage: every call that is asked for, every digit, readable by programs and harmless in spreadsheets."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from app.application import applications, keys
from app.billing import explorer, exports
from app.billing.exports import MACHINE, SPREADSHEET
from app.billing.figures import Only, Scope
from app.errors import Unavailable
from app.units import PER_MILLION, new_id
from app.wire.usage import METERS
from tests.billing.books import NOON, Books, call, open_books

START, END = NOON - timedelta(days=2), NOON + timedelta(days=2)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@pytest.fixture
def books(app: Flask, fresh_database: Any, redis_url: str) -> Iterator[Books]:
    """The ledger, with the app's context around."""
    assert app
    books = open_books(fresh_database, redis_url)
    yield books
    for client in (books.redis, books.owner, books.ingest):
        client.close()


def content(
    workspace_id: UUID, flavour: str = MACHINE, *, start: datetime = START, end: datetime = END, **only: UUID
) -> bytes:
    scope = Scope(workspace_id=workspace_id, start=start, end=end, only=Only(**only))
    export = exports.calls(scope, flavour)
    try:
        return b"".join(export.chunks)
    finally:
        export.close()


def rows_of(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"), newline=""), strict=True))


def recomputed(row: dict[str, str]) -> Decimal | None:
    """A call's cost by its columns alone."""
    if row["billable"] == "false":
        return Decimal(0)
    used = {meter: int(row[f"{meter}_tokens"]) for meter in METERS if row[f"{meter}_tokens"] != "0"}
    if not used or not all(row[f"{meter}_unit_price"] for meter in used):
        return None
    return sum((count * Decimal(row[f"{meter}_unit_price"]) for meter, count in used.items()), Decimal(0)) / PER_MILLION


def test_bc_114_the_cost_can_be_recomputed_from_the_columns_exactly(books: Books) -> None:
    workspace_id, model_id, deployment_id = books.workspace(), new_id(), new_id()
    books.price(model_id, input="1.00", output="2.00", cache_read="0.10", cache_write_5m="1.25")
    books.price(deployment_id, of=workspace_id, input="0.333333", output="7.77")
    meters: list[dict[str, int]] = [
        {"input": 10, "output": 100},
        {"input": 10, "cache_read": 1000, "output": 7},
        {"cache_write_5m": 13, "cache_write_1h": 17, "output": 1},
        {"input": 3, "input_audio": 5, "output": 2, "reasoning": 9, "output_audio": 11},
    ]
    for used in meters:
        books.put(call(workspace_id, model_id=model_id, meters=used))
        books.put(call(workspace_id, model_id=new_id(), deployment_id=deployment_id, meters=used))
    books.put(call(workspace_id, model_id=model_id, billable=False, billable_reason="nothing was delivered"))
    books.put(call(workspace_id, model_id=new_id()))
    books.take()

    rows = rows_of(content(workspace_id))

    ledger = {str(row["event_id"]): row["billed_cost"] for row in books.rows()}
    assert ledger == {row["request_id"]: recomputed(row) for row in rows}
    assert ledger == {row["request_id"]: Decimal(row["billed_cost"]) if row["billed_cost"] else None for row in rows}
    assert 10 == len(rows)


def test_a_call_keeps_the_prices_that_it_was_rated_by(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    old = books.price(model_id, input="1.00", valid="(,2026-11-10T12:00:00Z)")
    new = books.price(model_id, input="3.00", valid="[2026-11-10T12:00:00Z,)")
    books.put(
        *(
            call(workspace_id, at=at, model_id=model_id, meters={"input": 1})
            for at in (NOON - timedelta(seconds=1), NOON)
        )
    )
    books.take()

    rows = rows_of(content(workspace_id))

    assert [("1", str(old["input"])), ("3", str(new["input"]))] == [
        (row["input_unit_price"], row["price_ids"]) for row in rows
    ]


def test_bc_113_the_spreadsheets_flavour_has_one_byte_order_mark_and_the_machines_none(books: Books) -> None:
    workspace_id = books.workspace()
    books.owner.execute("update workspace set name = 'Größe 日本' where workspace_id = %s", [workspace_id])
    books.put(call(workspace_id))
    books.take()

    spreadsheet, machine = (content(workspace_id, flavour) for flavour in (SPREADSHEET, MACHINE))

    assert (1, 0) == (spreadsheet.count(BYTE_ORDER_MARK), machine.count(BYTE_ORDER_MARK))
    assert spreadsheet == BYTE_ORDER_MARK + machine
    assert "Größe 日本" == rows_of(spreadsheet)[0]["workspace"]
    assert "occurred_at_utc" == next(iter(rows_of(spreadsheet)[0]))
    assert 2 == machine.count(b"\r\n") == machine.count(b"\n")


def test_bc_115_the_filter_holds_and_nothing_is_cut_off(books: Books) -> None:
    workspace_id, key_id = books.workspace(), new_id()
    mine = [call(workspace_id, key_id=key_id, at=NOON + timedelta(minutes=n)) for n in range(130)]
    late = [call(workspace_id, key_id=key_id, at=NOON + timedelta(days=3)) for _ in range(20)]
    books.put(*mine, *late, *(call(workspace_id) for _ in range(850)), call(books.workspace(), key_id=key_id))
    books.take()

    found = rows_of(content(workspace_id, key=key_id))
    nothing = content(workspace_id, key=new_id())

    assert [str(event.event_id) for event in mine] == [row["request_id"] for row in found]
    assert (b"occurred_at_utc,", b"\r\n", 1) == (nothing[:16], nothing[-2:], nothing.count(b"\n"))
    assert 980 == len(rows_of(content(workspace_id)))


def test_calls_of_no_application_can_be_asked_for(books: Books) -> None:
    workspace_id = books.workspace()
    books.put(call(workspace_id, application_id=None), call(workspace_id))
    books.take()
    question = explorer.Question(group="application", first=NOON.date(), last=NOON.date())
    (nobodys,) = [one for one in explorer.ask(workspace_id, question).lines if one.label.name == "no application"]

    assert nobodys.id is not None
    assert 1 == len(rows_of(content(workspace_id, application=nobodys.id)))


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x","y")']


@pytest.mark.parametrize("alias", FORMULAS)
def test_formulas_are_texts_in_a_spreadsheet_and_untouched_for_machines(books: Books, alias: str) -> None:
    workspace_id = books.workspace()
    books.put(call(workspace_id, alias=alias, upstream_model=alias, provider=alias))
    books.take()

    for flavour, expected in ((SPREADSHEET, f"'{alias}"), (MACHINE, alias)):
        (row,) = rows_of(content(workspace_id, flavour))
        assert [expected] * 3 == [row["model_alias"], row["deployment"], row["provider"]]
        assert ("10", "100") == (row["input_tokens"], row["output_tokens"])


def test_lines_are_written_as_they_are_shown(books: Books) -> None:
    workspace_id, priced, unpriced = books.workspace(), new_id(), new_id()
    books.price(priced, input="0.15", output="0.60")
    books.put(*(call(workspace_id, model_id=priced, alias="=a", meters={"input": 1, "output": 1}) for _ in range(1000)))
    books.put(call(workspace_id, model_id=unpriced, alias='b "quoted", 😀'))
    books.take()
    question = explorer.Question(group="model", first=NOON.date(), last=NOON.date())
    answer = explorer.ask(workspace_id, question, size=None)

    machine, spreadsheet = (rows_of(exports.lines(answer, flavour)) for flavour in (MACHINE, SPREADSHEET))

    assert [("=a", "0.00075", "1000"), ('b "quoted", 😀', "", "1")] == [
        (row["model"], row["billed_cost"], row["requests"]) for row in machine
    ]
    assert ["'=a", 'b "quoted", 😀'] == [row["model"] for row in spreadsheet]
    assert ("deleted", "1", "1000") == (machine[1]["state"], machine[1]["unpriced"], machine[0]["input_tokens"])


def test_names_of_what_is_called_by_are_in_each_row(books: Books) -> None:
    workspace_id = books.workspace()
    application_id = applications.create(workspace_id, "Chat, bot", cost_centre="4711", tags={"team": "a"})
    key = keys.create(workspace_id, application_id, "production", models=["*"])
    books.put(
        call(workspace_id, application_id=application_id, key_id=key.key_id, client_request_id="mine", latency_ms=12)
    )
    books.take()
    keys.revoke(workspace_id, key.key_id)

    (row,) = rows_of(content(workspace_id))

    names = [row[name] for name in ("application", "cost_centre", "key", "tags", "client_request_id", "latency_ms")]
    assert ["Chat, bot", "4711", "production", '{"team": "a"}', "mine", "12"] == names
    assert row["key_prefix"]
    assert "2026-11-10T12:00:00.000Z" == row["occurred_at_utc"]


def test_days_of_a_change_of_the_clock_lose_nothing(books: Books) -> None:
    workspace_id = books.workspace("Europe/Berlin")
    moments = [datetime(2026, 10, 24, 20, tzinfo=UTC) + timedelta(minutes=30 * n) for n in range(60)]
    books.put(*(call(workspace_id, at=at) for at in moments))
    books.take()
    question = explorer.Question(group="day", first=moments[0].date(), last=moments[0].date() + timedelta(days=1))
    answer = explorer.ask(workspace_id, question)

    found = rows_of(content(workspace_id, start=answer.scope.start, end=answer.scope.end))

    assert answer.total.requests == len(found)
    assert [(line.label.name, line.figures.requests) for line in answer.lines] == [
        ("2026-10-24", 4),
        ("2026-10-25", 50),
    ]


def test_the_same_export_twice_is_the_same_to_the_byte(books: Books) -> None:
    workspace_id = books.workspace()
    books.put(*(call(workspace_id) for _ in range(700)))
    books.take()

    assert content(workspace_id) == content(workspace_id)


def test_an_export_sees_the_ledger_as_it_was_when_it_began(books: Books) -> None:
    workspace_id = books.workspace()
    books.put(call(workspace_id))
    books.take()
    export = exports.calls(Scope(workspace_id=workspace_id, start=START, end=END), MACHINE)
    books.put(call(workspace_id, at=NOON + timedelta(days=1)))
    books.take()

    found = rows_of(b"".join(export.chunks))
    export.close()

    assert 1 == len(found)


def test_a_lost_connection_ends_in_an_error_and_not_in_a_shorter_file(books: Books) -> None:
    workspace_id = books.workspace()
    books.put(*(call(workspace_id, at=NOON + timedelta(hours=n % 40)) for n in range(1200)))
    books.take()
    export = exports.calls(Scope(workspace_id=workspace_id, start=START, end=END), MACHINE)
    books.owner.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'llm-gateway-export'"
    )

    with pytest.raises(psycopg.OperationalError):
        b"".join(export.chunks)
    export.close()


def test_only_so_many_run_at_once_and_whoever_leaves_makes_room(books: Books) -> None:
    workspace_id = books.workspace()
    books.put(*(call(workspace_id, at=NOON + timedelta(hours=n % 40)) for n in range(1200)))
    books.take()
    scope = Scope(workspace_id=workspace_id, start=START, end=END)
    running = [exports.calls(scope, MACHINE) for _ in range(exports.MOST_AT_ONCE)]

    with pytest.raises(Unavailable):
        exports.calls(scope, MACHINE)
    for export in running:
        export.close()
        export.close()

    again = [exports.calls(scope, MACHINE) for _ in range(exports.MOST_AT_ONCE)]
    for export in again:
        export.close()
