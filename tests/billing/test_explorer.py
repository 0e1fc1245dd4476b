"""Every number of the explorer against the ledger's own rows, added up here the slow and plain way."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from app import extensions
from app.application import applications, keys
from app.billing import explorer, figures, month
from app.billing.dimensions import NOBODY
from app.billing.explorer import GROUPS, Answer, Question
from app.billing.figures import EVERYTHING, THINGS, Figures, Only
from app.units import local_hour_of, new_id, start_of_day, zone
from app.wire.usage import METERS
from tests.billing.books import NOON, Books, call, open_books

SPANS = {
    "UTC": (date(2026, 11, 9), date(2026, 11, 11)),
    "Asia/Kathmandu": (date(2026, 11, 9), date(2026, 11, 11)),
    "Europe/Berlin": (date(2026, 10, 24), date(2026, 10, 26)),
    "Australia/Lord_Howe": (date(2026, 4, 4), date(2026, 4, 6)),
    "Asia/Beirut": (date(2026, 3, 28), date(2026, 3, 30)),
}
"""Days in each zone, those of a clock change where it has any."""


@pytest.fixture
def books(app: Flask, fresh_database: Any, redis_url: str) -> Iterator[Books]:
    """The ledger, with the app's context around."""
    assert app
    books = open_books(fresh_database, redis_url)
    yield books
    for client in (books.redis, books.owner, books.ingest):
        client.close()


def busy(books: Books, timezone: str) -> UUID:
    """A workspace whose few applications, keys and models call all through the days of `SPANS` and beside them."""
    workspace_id, dice = books.workspace(timezone), random.Random(timezone)
    apps, callers, called = ([new_id() for _ in range(count)] for count in (3, 8, 4))
    for model_id in called[1:]:
        books.price(model_id, input="1.00", output="2.00")
    first, last = SPANS[timezone]
    start, end = (
        start_of_day(first - timedelta(days=1), zone(timezone)),
        start_of_day(last + timedelta(days=2), zone(timezone)),
    )
    for _ in range(300):
        at = start + timedelta(milliseconds=dice.randrange((end - start) // timedelta(milliseconds=1)))
        key = dice.randrange(8)
        kind = dice.choice(
            [
                {},
                {},
                {},
                {"outcome": "timeout"},
                {"state": "provisional", "outcome": "unsettled"},
                {"usage_source": "estimated"},
            ]
        )
        ids = {
            "application_id": apps[key % 3] if key else None,
            "key_id": callers[key],
            "model_id": dice.choice(called),
        }
        books.put(
            call(workspace_id, at=at, meters={"input": dice.randrange(50), "output": dice.randrange(50)}, **ids, **kind)
        )
    books.take()
    return workspace_id


def sums(rows: list[dict[str, Any]]) -> Figures:
    return Figures(
        requests=len(rows),
        failed=sum(row["outcome"] not in ("done", "unsettled") for row in rows),
        provisional=sum(row["state"] == "provisional" for row in rows),
        estimated=sum(row["usage_source"] == "estimated" for row in rows),
        unpriced=sum(row["billed_cost"] is None for row in rows),
        tokens={meter: sum(row[meter] for row in rows) for meter in METERS},
        billed=sum((row["billed_cost"] or Decimal(0) for row in rows), Decimal(0)),
    )


def by(rows: list[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> dict[Any, Figures]:
    found: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return {one: sums(mine) for one, mine in found.items()}


def group_of(row: dict[str, Any], group: str, timezone: str) -> Any:
    local = row["occurred_at"].astimezone(zone(timezone))
    if group == "day":
        return local.strftime("%Y-%m-%d")
    if group == "month":
        return local.strftime("%Y-%m")
    return value_of(row, group)


def hour_of(row: dict[str, Any], answer: Answer) -> str:
    """The bar that a call is in: where a zone moves by half an hour, some are longer than an hour."""
    return [label.name for start, label in answer.buckets if start <= row["occurred_at"]][-1]


def value_of(row: dict[str, Any], dimension: str) -> Any:
    """What a call has in a dimension; nobody owns these keys, and none of their applications is there any more."""
    if dimension in ("member", "cost_centre") or dimension.startswith("tag:"):
        return NOBODY if dimension == "member" else ""
    if dimension in THINGS:
        return row[f"{dimension}_id"] or NOBODY
    return row["outcome" if dimension == "status" else dimension]


def filters(rows: list[dict[str, Any]]) -> list[Only]:
    """Nothing, and every mix of the ids of one call."""
    one = next(row for row in rows if row["application_id"])
    chosen = [(), *itertools.chain(*(itertools.combinations(THINGS, size) for size in (1, 2, 3)))]
    chosen += [("alias",), ("provider", "key"), ("status",), ("status", "application")]
    return [Only(**{name: value_of(one, name) for name in names}) for names in chosen]


def shown(answer: Answer) -> dict[Any, Figures]:
    return {
        line.label.name if line.id is None else line.id: line.figures for line in answer.lines if line.figures.requests
    }


@pytest.mark.parametrize("timezone", SPANS)
@pytest.mark.parametrize("days", [1, 2, 3])
def test_every_question_is_answered_as_the_ledger_says(books: Books, timezone: str, days: int) -> None:
    workspace_id, (first, _) = busy(books, timezone), SPANS[timezone]
    last = first + timedelta(days=days - 1)
    rows = [row for row in books.rows() if first <= row["occurred_at"].astimezone(zone(timezone)).date() <= last]

    for only, group in itertools.product(filters(rows), GROUPS):
        mine = [row for row in rows if all(value_of(row, name) == one for name, one in only.given.items())]
        answer = explorer.ask(workspace_id, Question(group=group, first=first, last=last, only=only))

        hourly = partial(hour_of, answer=answer)
        keyed = hourly if group == "hour" else partial(group_of, group=group, timezone=timezone)
        assert by(mine, keyed) == shown(answer), (only, group)
        assert sums(mine) == answer.total
        starts = [start for start, _ in answer.buckets]
        for number, start in enumerate(starts):
            end = [*starts, answer.scope.end][number + 1]
            in_bucket = [row for row in mine if start <= row["occurred_at"] < end]
            assert sums(in_bucket) == figures.total(parts[number] for _, parts in answer.series), (only, group, start)


def test_an_hour_that_is_lived_twice_has_two_bars_and_a_short_day_lacks_one(books: Books) -> None:
    workspace_id = books.workspace("Europe/Berlin")
    books.put(*(call(workspace_id, at=datetime(2026, 10, 25, hour, 30, tzinfo=UTC)) for hour in (0, 1)))
    books.take()

    long, short = (
        explorer.ask(workspace_id, Question(group="key", first=day, last=day))
        for day in (date(2026, 10, 25), date(2026, 3, 29))
    )

    assert (25, 23) == (len(long.buckets), len(short.buckets))
    twice = [
        (label.name, total_of(long, number)) for number, (_, label) in enumerate(long.buckets) if " 02:00" in label.name
    ]
    assert [("2026-10-25 02:00 CEST", 1), ("2026-10-25 02:00 CET", 1)] == twice


def total_of(answer: Answer, number: int) -> int:
    return sum(parts[number].requests for _, parts in answer.series)


@pytest.mark.parametrize("timezone", ["Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"])
def test_bars_are_the_zones_own_hours(timezone: str) -> None:
    question = Question(group="key", first=date(2026, 4, 4), last=date(2026, 4, 5))

    starts = explorer.starts_of(question, "hour", zone(timezone))

    assert starts == [local_hour_of(start, zone(timezone)) for start in starts]
    assert len(starts) == 48


def test_bc_037_totals_are_of_all_calls_on_every_page(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, input="1.00", output="2.00")
    callers = [new_id() for _ in range(60)]
    good = [call(workspace_id, model_id=model_id, key_id=callers[number % 60]) for number in range(120)]
    failed = [
        call(workspace_id, model_id=model_id, outcome="upstream_error", billable=False, meters={}) for _ in range(7)
    ]
    books.put(*good, *failed)
    books.take()
    question = Question(group="key", first=NOON.date(), last=NOON.date())

    pages = [explorer.ask(workspace_id, question)]
    while pages[-1].after:
        pages.append(explorer.ask(workspace_id, replace(question, after=pages[-1].after)))

    assert [50, 17] == [len(page.lines) for page in pages]
    assert {(Decimal("0.0252"), 127, 7, 67)} == {
        (page.total.cost, page.total.requests, page.total.failed, page.count) for page in pages
    }
    lines = [line for page in pages for line in page.lines]
    assert 67 == len({line.id for line in lines})
    assert Decimal("0.0252") == sum(line.figures.billed for line in lines)
    assert pages[0].series == pages[1].series
    assert pages[0].lines + pages[1].lines == explorer.ask(workspace_id, question, size=None).lines


def test_the_chart_tells_the_dearest_apart_and_the_others_are_one(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, output="1.00")
    for number in range(9):
        books.put(
            call(workspace_id, model_id=model_id, application_id=UUID(int=number + 1), meters={"output": 10 - number})
        )
    books.take()

    answer = explorer.ask(workspace_id, Question(group="application", first=NOON.date(), last=NOON.date()))

    assert [UUID(int=number + 1) for number in range(6)] == [line.id for line, _ in answer.series[:6]]
    assert ("3 others", 3, 9) == (answer.series[6][0].label.name, answer.series[6][0].figures.requests, answer.count)


def test_what_is_unpriced_is_no_zero(books: Books) -> None:
    workspace_id, priced, unpriced, free = books.workspace(), new_id(), new_id(), new_id()
    books.price(priced, input="1.00", output="2.00")
    books.price(free, input="0", output="0")
    books.put(*(call(workspace_id, model_id=model_id) for model_id in (priced, unpriced, free)))
    books.put(call(workspace_id, model_id=unpriced, outcome="upstream_error", billable=False, meters={}))
    books.take()

    answer = explorer.ask(workspace_id, Question(group="model", first=NOON.date(), last=NOON.date()))

    costs = {line.id: (line.figures.cost, line.figures.unpriced) for line in answer.lines}
    assert {priced: (Decimal("0.00021"), 0), unpriced: (None, 1), free: (Decimal(0), 0)} == costs
    assert (Decimal("0.00021"), 1) == (answer.total.cost, answer.total.unpriced)


def test_bc_107_what_is_gone_keeps_its_name_and_is_marked(books: Books) -> None:
    workspace_id = books.workspace()
    application_id = applications.create(workspace_id, "closed app")
    key = keys.create(workspace_id, application_id, "old key", models=["*"])
    gone = new_id()
    books.put(call(workspace_id, application_id=application_id, key_id=key.key_id, model_id=gone, alias="gone/model"))
    books.put(call(workspace_id, application_id=None, model_id=gone, alias="gone/model"))
    books.take()
    keys.revoke(workspace_id, key.key_id)
    applications.archive(workspace_id, application_id, now=NOON)

    def named(group: str) -> set[tuple[str, str | None]]:
        answer = explorer.ask(workspace_id, Question(group=group, first=NOON.date(), last=NOON.date()))
        return {(line.label.name, line.label.state) for line in answer.lines}

    assert {("closed app", "archived"), ("no application", None)} == named("application")
    assert {("gone/model", "deleted")} == named("model")
    assert ("old key", "revoked") in named("key")


def test_anothers_ids_give_neither_figures_nor_names(books: Books) -> None:
    theirs, mine = books.workspace(), books.workspace()
    application_id = applications.create(theirs, "their app")
    books.put(call(theirs, application_id=application_id), call(mine))
    books.take()

    question = Question(group="key", first=NOON.date(), last=NOON.date(), only=Only(application=application_id))
    answer = explorer.ask(mine, question)

    assert (0, []) == (answer.total.requests, answer.lines)
    assert application_id not in answer.labels["application"]


def test_an_answer_is_read_from_one_state_of_the_database(books: Books) -> None:
    workspace_id = books.workspace()
    query = "select current_setting('transaction_isolation')"

    with extensions.snapshot(workspace_id) as session:
        inside = extensions.execute(session, query).scalar()
    with extensions.transaction(workspace_id) as session:
        outside = extensions.execute(session, query).scalar()

    assert ("repeatable read", "read committed") == (inside, outside)


def test_the_narrowest_sums_are_read_and_the_ledger_only_where_none_hold_the_answer() -> None:
    def read(*dimensions: str, hourly: bool = False) -> str:
        return str(figures.source(dimensions, hourly=hourly).table.name)

    assert ["rollup_hour_model", "rollup_hour_app"] == [read("model"), read("application")]
    assert ["rollup_day", "rollup_day"] == [read("key"), read("model", "application")]
    assert ["rollup_hour_key", "ledger"] == [read("key", hourly=True), read("key", "model", hourly=True)]


@pytest.mark.parametrize(
    ("now", "timezone", "start", "end"),
    [
        ("2026-11-25T06:24:00Z", "UTC", "2026-10-01T00:00:00Z", "2026-10-25T06:00:00Z"),
        ("2026-11-25T06:24:00Z", "Asia/Kathmandu", "2026-09-30T18:15:00Z", "2026-10-25T06:15:00Z"),
        ("2026-11-25T06:24:00Z", "Europe/Berlin", "2026-09-30T22:00:00Z", "2026-10-25T06:00:00Z"),
        ("2026-03-31T10:00:00Z", "UTC", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
        ("2026-01-01T00:30:00Z", "UTC", "2025-12-01T00:00:00Z", "2025-12-01T00:00:00Z"),
    ],
)
def test_the_month_before_is_read_up_to_the_same_hour(now: str, timezone: str, start: str, end: str) -> None:
    expected = datetime.fromisoformat(start), datetime.fromisoformat(end)

    assert expected == month.same_span_before(datetime.fromisoformat(now), zone(timezone))


def test_a_change_is_said_only_where_there_is_something_to_compare_with() -> None:
    assert Decimal(50) == month.change_percent(3, 2)
    assert Decimal(-100) == month.change_percent(0, 2)
    assert [None] * 3 == [month.change_percent(3, 0), month.change_percent(3, None), month.change_percent(None, 3)]


def test_a_month_is_compared_with_the_same_span_and_no_more(books: Books) -> None:
    workspace_id, model_id = books.workspace("Asia/Kathmandu"), new_id()
    books.price(model_id, input="1.00", output="2.00")
    moments = {
        "2026-09-30T18:14:59Z": "September",
        "2026-09-30T18:15:00Z": "before",
        "2026-10-25T06:14:00Z": "before",
        "2026-10-25T06:15:00Z": "October, later",
        "2026-10-31T18:15:00Z": "now",
        "2026-11-25T06:14:00Z": "now",
        "2026-11-25T06:20:00Z": "now, past the full hour",
    }
    books.put(*(call(workspace_id, at=datetime.fromisoformat(at), model_id=model_id) for at in moments))
    books.take()

    found = month.so_far(workspace_id, datetime(2026, 11, 25, 6, 24, tzinfo=UTC))

    assert found is not None
    assert (3, 2, 2) == (found.figures.requests, found.comparable.requests, found.before.requests)
    assert Decimal("0.00063") == found.figures.cost
    assert [3] == [line.figures.requests for line in found.tops["model"]]


def test_what_failed_in_the_last_day_is_counted_by_its_reason(books: Books) -> None:
    workspace_id = books.workspace()
    busy_upstream = {"outcome": "upstream_error", "error_code": "provider_busy"}
    books.put(*(call(workspace_id, at=NOON - timedelta(hours=hours), **busy_upstream) for hours in (1, 23, 25)))
    books.put(call(workspace_id, at=NOON - timedelta(hours=2), outcome="client_gone"), call(workspace_id))
    books.put(call(workspace_id, state="provisional", outcome="unsettled"))
    books.take()

    found = month.so_far(workspace_id, NOON)

    assert found is not None
    assert [("provider_busy", 2), ("client_gone", 1)] == [(one.code, one.calls) for one in found.failures]
    assert NOON - timedelta(hours=1) == found.failures[0].last_at


def test_without_a_call_there_is_no_month(books: Books) -> None:
    assert month.so_far(books.workspace(), NOON) is None
    assert EVERYTHING == Only()
