"""What the usage page does where there is more than it can show: it says so, and the totals stay whole."""

import pytest

from app.application import applications, keys
from app.billing import explorer
from app.workspace import workspaces
from tests import people
from tests.billing.books import NOON, call
from tests.console import reading
from tests.factories import unique

DAYS = {"from": str(NOON.date()), "to": str(NOON.date())}


@pytest.fixture
def acme(app):
    assert app.testing
    return workspaces.create(unique("acme"))


@pytest.fixture
def payer(app, acme):
    return people.member(acme, "billing").client(app)


def test_a_file_of_more_lines_than_it_holds_is_refused_with_what_to_do(acme, books, payer, monkeypatch):
    books.put(*(call(acme) for _ in range(4)))
    books.take()
    address, query = f"/w/{acme}/usage.csv", DAYS | {"group": "key", "for": "machine"}

    monkeypatch.setattr(explorer, "MOST_LINES", 4)
    whole = payer.get(address, query_string=query)
    monkeypatch.setattr(explorer, "MOST_LINES", 3)
    refused = payer.get(address, query_string=query)

    assert (200, 5) == (whole.status_code, whole.get_data().count(b"\r\n"))
    assert 400 == refused.status_code
    assert "4 lines by key are more than the 3 that a file holds." in reading.text(refused)


def test_hours_of_many_days_are_refused_and_the_interval_is_kept(acme, payer):
    page = payer.get(f"/w/{acme}/usage", query_string={"from": "2026-11-01", "to": "2026-11-08", "interval": "hour"})

    assert 422 == page.status_code
    assert "must lie within 7 days of the first day to show hours" in reading.text(page)


@pytest.mark.parametrize(("interval", "bars"), [("hour", 48), ("day", 2), ("month", 1)])
def test_the_chart_has_a_bar_for_each_interval(acme, books, payer, interval, bars):
    books.put(call(acme))
    books.take()
    span = {"from": str(NOON.date()), "to": "2026-11-11", "group": "key", "and": "status", "interval": interval}

    page = payer.get(f"/w/{acme}/usage", query_string=span)

    assert f"Cost by {interval}" in reading.text(page)
    assert bars == len([given for tag, given in reading.attributes(page) if tag == "td" and "data-value" in given])


def test_keys_of_one_name_are_told_apart_in_the_chart(acme, books, payer):
    for name in ("chatbot", "search"):
        application_id = applications.create(acme, name)
        key = keys.create(acme, application_id, "production", models=["*"])
        books.put(call(acme, application_id=application_id, key_id=key.key_id))
    books.take()

    page = payer.get(f"/w/{acme}/usage", query_string=DAYS | {"group": "key"})

    named = {given["data-name"] for _, given in reading.attributes(page) if "data-name" in given}
    assert {"production (chatbot)", "production (search)"} == named


def test_a_developer_does_not_get_at_a_management_key(app, acme):
    key = keys.create(acme, None, "reports", models=[], kind="management")
    address = f"/w/{acme}/keys/{key.key_id}/rotate"

    answers = [people.member(acme, role).client(app).get(address).status_code for role in ("developer", "admin")]

    assert [403, 200] == answers
