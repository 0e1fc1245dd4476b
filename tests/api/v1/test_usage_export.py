"""`GET /api/v1/usage/export.csv`: what the page exports, for programs with a management key."""

import csv
import io
from datetime import UTC, date, datetime, timedelta

import pytest

from app.billing import copying, exports
from app.billing.export_what import CSV, SHEET
from app.logging import entries
from app.units import new_id
from app.workspace import workspaces
from tests import people
from tests.api.v1.management import program
from tests.billing.books import NOON, call
from tests.billing.conftest import books, environment
from tests.billing.exporting import Desk, what
from tests.factories import unique

__all__ = ["books", "environment"]

DAYS = {"from": str(NOON.date()), "to": str(NOON.date())}
PATH = "/usage/export.csv"


@pytest.fixture
def acme(app):
    assert app.testing
    return workspaces.create(unique("acme"))


@pytest.fixture
def desk(books, environment, monkeypatch, tmp_path):
    assert environment is None
    monkeypatch.setenv("GATEWAY_HOME", str(tmp_path))
    return Desk(books, tmp_path)


def rows_of(answer):
    assert 200 == answer.status_code, answer.get_data()
    return list(csv.DictReader(io.StringIO(answer.get_data(as_text=True), newline=""), strict=True))


def test_a_program_gets_what_the_page_exports(app, acme, books):
    books.put(*(call(acme, at=NOON + timedelta(hours=n)) for n in range(-20, 20)))
    books.take()
    page = (
        people.member(acme, "billing")
        .client(app)
        .get(f"/w/{acme}/usage/calls.csv", query_string=DAYS | {"for": "machine"})
    )

    answer = program(app, acme).get(PATH, DAYS)

    assert 24 == len(rows_of(answer))
    assert page.get_data() == answer.get_data()
    assert "text/csv; charset=utf-8" == answer.content_type
    assert 'attachment; filename="calls-2026-11-10-to-2026-11-10.csv"' == answer.headers["Content-Disposition"]


@pytest.mark.parametrize(("flavour", "form"), [("machine", CSV), ("spreadsheet", SHEET)])
def test_a_program_gets_the_very_bytes_of_the_exports_pages_file(app, acme, desk, flavour, form):
    desk.books.owner.execute("update workspace set timezone = 'Europe/Berlin' where workspace_id = %s", [acme])
    clocks_change = datetime(2026, 10, 24, 12, tzinfo=UTC)
    aliases = ["=1+1", 'say "hi", ö', "-5"]
    desk.books.put(*(call(acme, at=clocks_change + timedelta(minutes=5 * n), alias=aliases[n % 3]) for n in range(700)))
    desk.books.take()
    span = {"first": date(2026, 10, 24), "last": date(2026, 10, 26)}
    file = desk.bytes(desk.make(acme, what(format=form, **span)))

    asked = {"from": span["first"], "to": span["last"], "tz": "Europe/Berlin", "for": flavour}
    with program(app, acme).get(PATH, asked) as answer:
        content = answer.get_data()

    assert file == content
    assert file.count(b"\r\n") > 600


@pytest.mark.parametrize(("timezone", "count"), [("UTC", 24), ("Asia/Kathmandu", 24), ("Pacific/Kiritimati", 18)])
def test_days_are_those_of_the_zone_that_is_asked_for(app, acme, books, timezone, count):
    books.put(*(call(acme, at=NOON + timedelta(hours=n)) for n in range(-20, 20)))
    books.take()

    assert count == len(rows_of(program(app, acme).get(PATH, DAYS | {"tz": timezone})))


def test_the_filter_holds(app, acme, books):
    key_id = new_id()
    books.put(call(acme, key_id=key_id), call(acme))
    books.take()

    assert 1 == len(rows_of(program(app, acme).get(PATH, DAYS | {"key": key_id})))


def test_another_workspace_is_not_there_and_the_platforms_key_says_which(app, acme, books):
    other = workspaces.create(unique("other"))
    books.put(call(other))
    books.take()

    assert 404 == program(app, acme).get(PATH, DAYS | {"workspace": str(other)}).status_code
    assert [] == rows_of(program(app, acme).get(PATH, DAYS))
    assert 1 == len(rows_of(program(app).get(PATH, DAYS | {"workspace": str(other)})))


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"from": ""}, "from"),
        ({"to": "yesterday"}, "to"),
        ({"to": "2026-11-09"}, "to"),
        ({"to": "2099-01-01"}, "to"),
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"tz": "../../etc/passwd"}, "tz"),
        ({"for": "excel"}, "for"),
        ({"model": "1"}, "model"),
        ({"form": "2026-11-01"}, "form"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(app, acme, changed, param):
    answer = program(app, acme).get(PATH, DAYS | changed)

    assert (400, param) == (answer.status_code, answer.json["error"]["param"])


def test_it_is_written_into_the_audit_trail_as_the_key_s(app, acme):
    mine = program(app, acme)
    mine.get(PATH, DAYS)

    (entry,) = [
        one for one in entries.listed(acme, entries.Wanted(), after=None, limit=99) if one.action == "usage.export"
    ]
    assert ("key", str(mine.key_id), "UTC") == (entry.actor_kind, entry.actor_id, entry.after["timezone"])


def test_whoever_leaves_early_makes_room(app, acme, books):
    books.put(*(call(acme) for _ in range(3 * copying.ROWS_AT_ONCE)))
    books.take()
    mine = program(app, acme)

    for _ in range(exports.MOST_AT_ONCE + 1):
        mine.get(PATH, DAYS).close()

    with mine.get(PATH, DAYS) as answer:
        assert 3 * copying.ROWS_AT_ONCE == len(rows_of(answer))
