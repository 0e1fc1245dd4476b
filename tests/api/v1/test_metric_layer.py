"""One metric layer: by any two dimensions, in any interval and beside the days before, it is always the same calls."""

import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from app.billing import explorer, figures, period_usage, periods
from app.billing.dimensions import DIMENSIONS, TAG, Only
from app.billing.explorer import Question
from app.extensions import transaction
from app.units import new_id, start_of_day, zone
from app.workspace import workspaces
from tests.api.v1.management import program
from tests.billing import scenes
from tests.billing.books import NOON, call
from tests.billing.conftest import books
from tests.factories import unique

__all__ = ["books"]

EVERY = (*DIMENSIONS, "tag:team")
PAIRS = [(one, None) for one in EVERY] + list(itertools.combinations(EVERY, 2))
INTERVALS = (None, "hour", "day", "month")
FIRST, LAST = (NOON - timedelta(days=2)).date(), (NOON + timedelta(days=2)).date()
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture
def scene(app, books):
    """A workspace with calls of all kinds, and some of the same keys in the days before."""
    assert app.testing
    found = scenes.many_sided(books)
    rows = books.rows()[:20]
    kept = ("application_id", "key_id", "model_id", "alias", "provider", "outcome", "state", "usage_source")
    books.put(
        *(
            call(found.workspace_id, at=NOON - timedelta(days=5, minutes=n), **{name: row[name] for name in kept})
            for n, row in enumerate(rows)
        )
    )
    books.take()
    return found


def asked(groups, **options):
    return Question(group=groups[0], second=groups[1], first=FIRST, last=LAST, **options)


def statement_of(workspace_id):
    """What the month's statement is made of: calls, tokens, money and unpriced calls, of November."""
    with transaction(workspace_id) as session:
        rows = period_usage.exact(session, periods.read(session, workspace_id, NOON.date().replace(day=1)))
    return tuple(sum(getattr(row, name) for row in rows) for name in ("calls", "tokens", "amount", "unpriced"))


def told(found):
    return found.requests, found.all_tokens, found.billed, found.unpriced


def only(groups, values):
    """Narrow down to one line, as a click on it does."""
    given = {name: value for name, value in zip(groups, values, strict=True) if not name.startswith(TAG)}
    tag = next((value for name, value in zip(groups, values, strict=True) if name.startswith(TAG)), None)
    return Only(**given, tag=None if tag is None else ("team", tag))


@pytest.mark.parametrize("interval", INTERVALS)
def test_every_two_dimensions_in_every_interval_add_up_to_the_statement(scene, interval):
    now, before = {statement_of(scene.workspace_id)}, set()
    for groups in PAIRS:
        question = asked(groups, interval=interval, compare=True)
        answer = explorer.ask(scene.workspace_id, question, size=None, parted=True)

        whole = figures.total(line.figures for line in answer.lines)
        assert whole == answer.total == figures.total(answer.every), groups
        assert all(figures.total(line.parts) == line.figures for line in answer.lines), groups
        for number, bar in enumerate(answer.every):
            assert bar == figures.total(line.parts[number] for line in answer.lines), (groups, number)
            assert bar == figures.total(parts[number] for _, parts in answer.series), (groups, number)
        gone = [answer.others.before] if answer.others else []
        assert answer.before == figures.total([*(line.before for line in answer.lines), *gone]), groups
        now.add(tuple(a + b for a, b in zip(told(answer.total), told(answer.before), strict=True)))
        before.add(told(answer.before))

    assert (1, 1) == (len(now), len(before))
    assert 20 == before.pop()[0]


def test_a_click_on_any_line_finds_the_calls_that_it_counted(scene):
    for groups in PAIRS[len(EVERY) :]:
        for line in explorer.ask(scene.workspace_id, asked(groups), size=None).lines:
            narrowed = Question(group="day", first=FIRST, last=LAST, only=only(groups, line.values))

            assert line.figures == explorer.ask(scene.workspace_id, narrowed).total, (groups, line.label)


@pytest.mark.parametrize("interval", INTERVALS[1:])
def test_the_api_says_the_same_with_its_lines_cut_into_pages(app, scene, interval):
    own, span = program(app, scene.workspace_id), {"from": FIRST, "to": LAST, "compare": "before"}
    totals = set()
    for first, second in PAIRS:
        group_by = f"{first},{second}" if second else first
        answer = own.get("/usage", span | {"group_by": group_by, "interval": interval, "limit": 5}).json

        total, lines = answer["total"], [*answer["data"], *([answer["others"]] if answer["others"] else [])]
        for name in ("requests", "failed", "provisional", "estimated", "unpriced"):
            assert total[name] == sum(line[name] for line in lines) == sum(one[name] for one in total["series"])
            assert answer["before"][name] == sum(line["before"][name] for line in lines)
        assert Decimal(total["billed_cost"]) == sum(Decimal(line["billed_cost"] or 0) for line in lines)
        for line in answer["data"]:
            assert line["requests"] == sum(one["requests"] for one in line["series"]), group_by
            assert line["tokens"]["input"] == sum(one["tokens"]["input"] for one in line["series"]), group_by
        totals.add((total["requests"], total["billed_cost"], answer["before"]["requests"]))

    assert 1 == len(totals)


@pytest.mark.parametrize(
    ("timezone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Asia/Kolkata", date(2026, 3, 29), 24),
        ("Asia/Kathmandu", date(2026, 3, 29), 24),
        ("Pacific/Kiritimati", date(2026, 3, 29), 24),
        ("Etc/GMT+12", date(2026, 3, 29), 24),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24),
    ],
)
def test_each_hour_of_a_day_is_there_whatever_the_clock_does(app, books, timezone, day, hours):
    acme, key_id = workspaces.create(unique("acme"), timezone=timezone), new_id()
    start, end = (start_of_day(one, zone(timezone)) for one in (day, day + timedelta(days=1)))
    moments = [start + number * HALF_AN_HOUR for number in range(-2, (end - start) // HALF_AN_HOUR + 2)]
    books.put(*(call(acme, at=moment, key_id=key_id) for moment in moments))
    books.take()

    found = program(app, acme).get("/usage", {"from": day, "to": day, "group_by": "key", "interval": "hour"}).json

    starts = [datetime.fromisoformat(one["start"]) for one in found["data"][0]["series"]]
    assert hours == len({start.astimezone(UTC) for start in starts})
    assert (end - start) // HALF_AN_HOUR == sum(one["requests"] for one in found["total"]["series"])
    assert {2, 2 + (end - start) % timedelta(hours=1) // HALF_AN_HOUR} == {
        one["requests"] for one in found["total"]["series"]
    }
    assert {day} == {start.date() for start in starts}
