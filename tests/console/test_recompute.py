"""The Recompute page: a dry run, its difference for each application, and the way to apply it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.application import applications
from app.billing import rating_runs
from app.units import new_id
from app.workspace import workspaces
from tests import people
from tests.billing import rerating
from tests.billing.books import Books, call, open_books
from tests.console import reading
from tests.factories import unique

AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
HTMX = {"HX-Request": "true"}


@pytest.fixture
def books(fresh_database: Any, redis_url: str) -> Any:
    books = open_books(fresh_database, redis_url)
    yield books
    for client in (books.redis, books.owner, books.ingest):
        client.close()


@pytest.fixture
def admin(app, acme):
    return people.member(acme, "admin").client(app)


def root(workspace_id: UUID) -> str:
    return f"/w/{workspace_id}/recompute"


def repriced(books: Books, workspace_id: UUID) -> UUID:
    """Two calls of one application whose model costs more than it did."""
    model_id, application_id = new_id(), applications.create(workspace_id, "chatbot")
    books.price(model_id, input="1", output="2")
    books.put(*(call(workspace_id, at=AT, model_id=model_id, application_id=application_id) for _ in range(2)))
    books.take()
    rerating.reprice(books, model_id, input="1000", output="2000")
    return model_id


def order(browser, workspace_id: UUID, **fields: str) -> str:
    """Send the form of a dry run; give the address of its page."""
    page = reading.form(browser.get(f"{root(workspace_id)}/new"), root(workspace_id))
    answer = browser.post(root(workspace_id), page.values(**{"from": "2026-11-01", "to": "2026-11-30", **fields}))
    assert answer.status_code == 303, reading.text(answer)
    return answer.headers["Location"]


def run_of(address: str) -> UUID:
    return UUID(address.rsplit("/", 1)[1])


def test_an_empty_list_says_what_a_recompute_is_for(acme, admin):
    assert "Nothing was recomputed yet" in reading.text(admin.get(root(acme)))


def test_a_dry_run_is_ordered_shown_and_applied(acme, admin, books):
    repriced(books, acme)
    address = order(admin, acme, reason="the new contract")
    assert "0 of 0 calls" in reading.text(admin.get(address))
    rerating.work(books, run_of(address))

    shown = reading.text(admin.get(address))
    applied = admin.post(f"{address}/apply", reading.form(admin.get(address), f"{address}/apply").values())
    rerating.work(books, run_of(applied.headers["Location"]))

    assert all(one in shown for one in ("the new contract", "2 of 2 calls", "chatbot", "$0.42", "2026-11"))
    assert {Decimal("0.21")} == set(rerating.billed(books, acme))
    assert "done" in reading.text(admin.get(applied.headers["Location"]))
    assert "the new contract" in reading.text(admin.get(root(acme)))


def test_the_page_asks_again_until_the_run_has_ended(acme, admin, books):
    repriced(books, acme)
    address = order(admin, acme, reason="new prices")
    going = admin.get(address, headers=HTMX).get_data(as_text=True)

    rerating.work(books, run_of(address))

    ended = admin.get(address, headers=HTMX).get_data(as_text=True)
    assert 'hx-trigger="every 2s"' in going
    assert "hx-trigger" not in ended
    assert "<html" not in going


def test_a_run_can_be_cancelled_from_its_page(acme, admin, books):
    repriced(books, acme)
    address = order(admin, acme, reason="new prices")

    answer = admin.post(f"{address}/cancel", reading.form(admin.get(address), f"{address}/cancel").values())

    assert answer.status_code == 303
    assert "cancelled" == rating_runs.get(acme, run_of(address)).state
    assert 422 == admin.post(f"{address}/cancel", {}).status_code


def test_the_same_form_sent_twice_is_one_run(acme, admin):
    page = reading.form(admin.get(f"{root(acme)}/new"), root(acme)).values(reason="new prices")

    answers = [admin.post(root(acme), page) for _ in range(2)]

    assert 1 == len({answer.headers["Location"] for answer in answers})
    assert 1 == len(rating_runs.listed(acme))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"from": "2026-11-31"}, "must be a day"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "must not lie before the first day"),
        ({"model": str(new_id())}, "is none of this workspace's"),
        ({"reason": ""}, "characters, not 0"),
    ],
)
def test_a_form_that_is_wrong_is_shown_again(acme, admin, fields, said):
    form = {"new_id": new_id(), "from": "2026-11-01", "to": "2026-11-30", "model": "", "reason": "new prices"}

    answer = admin.post(root(acme), form | fields)

    assert 422 == answer.status_code
    assert said in reading.text(answer)
    assert [] == rating_runs.listed(acme)


def test_days_past_their_retention_are_refused_on_the_form(acme, admin, books):
    books.owner.execute("insert into retention_mark values ('ledger', '2026-11-01')")
    form = {"new_id": new_id(), "from": "2026-10-31", "to": "2026-11-30", "model": "", "reason": "new prices"}

    answer = admin.post(root(acme), form)

    assert 422 == answer.status_code
    assert "calls before 2026-11-01 00:00 UTC are past their retention" in reading.text(answer)
    assert [] == rating_runs.listed(acme)


def test_days_are_the_workspaces_own(acme, admin, books):
    books.move(acme, "Asia/Kathmandu")

    run = rating_runs.get(acme, run_of(order(admin, acme, reason="new prices", to="2026-11-01")))

    assert datetime(2026, 10, 31, 18, 15, tzinfo=UTC) == run.since
    assert datetime(2026, 11, 1, 18, 15, tzinfo=UTC) == run.until


def test_billing_may_look_and_a_developer_may_not(app, acme, admin):
    address = order(admin, acme, reason="new prices")
    billing, developer = (people.member(acme, role).client(app) for role in ("billing", "developer"))

    assert [200, 403, 403] == [
        billing.get(address).status_code,
        billing.post(f"{address}/cancel", {}).status_code,
        developer.get(address).status_code,
    ]
    assert "Cancel run" not in reading.text(billing.get(address))


def test_another_workspaces_run_is_not_found(app, acme, admin):
    address = order(admin, acme, reason="new prices")
    elsewhere = workspaces.create(unique("elsewhere"))
    browser = people.member(elsewhere, "owner").client(app)

    assert 404 == browser.get(address).status_code
    assert 404 == browser.get(f"{root(elsewhere)}/{run_of(address)}").status_code
