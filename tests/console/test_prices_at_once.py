"""Two people who change the same price at once: one is told, nothing overlaps and nothing is lost."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import pairwise

import pytest

from app.model import price_book, price_changes
from app.model.prices import LIST
from app.units import utc_now
from tests import people
from tests.console import reading
from tests.factories import make_model, make_provider

HTMX = {"HX-Request": "true"}


@pytest.fixture
def admins(app, acme):
    return [people.member(acme, "admin").client(app) for _ in range(2)]


@pytest.fixture
def model_id(acme):
    model_id = make_model(acme, make_provider(acme, "http://127.0.0.1:1/v1"), "chat", price=None)
    price_book.set_prices(acme, model_id, {"input": Decimal(1), "request": Decimal("0.01")}, now=utc_now())
    return model_id


def history(acme, model_id, meter="input"):
    """The rows of a meter in the order of their times, the replaced ones left out."""
    rows = [row for row in price_changes.history(acme, model_id, [LIST]) if row.meter == meter and not row.replaced]
    return rows[::-1]


def at_once(*asks):
    with ThreadPoolExecutor(len(asks)) as pool:
        return [future.result() for future in [pool.submit(ask) for ask in asks]]


@pytest.mark.parametrize(("page", "form"), [("prices/{}", "prices/{}"), ("models/{}", "models/{}/prices")])
def test_of_two_changes_from_the_same_page_one_is_refused_and_says_why(acme, admins, model_id, page, form):
    page, address = (f"/w/{acme}/{path.format(model_id)}" for path in (page, form))
    forms = [reading.form(admin.get(page), address) for admin in admins]

    answers = at_once(
        *(
            lambda admin=admin, form=form, price=price: admin.post(address, form.values(input=price))
            for admin, form, price in zip(admins, forms, ("2", "3"), strict=True)
        )
    )

    assert [303, 409] == sorted(answer.status_code for answer in answers)
    (refused,) = (answer for answer in answers if answer.status_code == 409)
    assert "since you opened the page" in reading.text(refused)
    first, second = history(acme, model_id)
    assert (Decimal(1), first.until, None) == (first.unit_price, second.since, second.until)
    assert [Decimal("0.01")] == [row.unit_price for row in history(acme, model_id, "request")]


def test_a_page_that_is_opened_again_may_change_what_somebody_else_has_changed(acme, admins, model_id):
    address = f"/w/{acme}/prices/{model_id}"
    old = reading.form(admins[0].get(address), address)
    admins[1].post(address, {"input": "2"})

    refused = admins[0].post(address, old.values(input="3"), headers=HTMX)
    taken = admins[0].post(address, reading.form(admins[0].get(address), address).values(input="3"), headers=HTMX)

    assert [409, 204] == [refused.status_code, taken.status_code]


def test_many_changes_at_once_follow_one_another_without_overlap(acme, admins):
    model_id = make_model(acme, make_provider(acme, "http://127.0.0.1:1/v1"), "new", price=None)
    address = f"/w/{acme}/prices/{model_id}"

    answers = at_once(
        *(lambda number=number: admins[number % 2].post(address, {"input": str(number)}) for number in range(1, 9))
    )

    assert {303} == {answer.status_code for answer in answers}
    entries = price_changes.history(acme, model_id, [LIST])
    assert set(range(1, 9)) == {int(row.unit_price) for row in entries}
    rows = history(acme, model_id)
    assert (None, None) == (rows[0].since, rows[-1].until)
    assert all(before.until == after.since for before, after in pairwise(rows))
