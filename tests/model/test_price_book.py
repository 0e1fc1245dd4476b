from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import text

from app.extensions import transaction
from app.model import price_book
from app.units import PLATFORM_ID, new_id
from app.workspace import revisions, workspaces
from app.workspace.names import Invalid

pytestmark = pytest.mark.usefixtures("app")

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
MODEL = UUID(int=7)


def set_prices(now=NOW, **prices):
    return price_book.set_prices(PLATFORM_ID, MODEL, {name: Decimal(price) for name, price in prices.items()}, now=now)


def rows():
    statement = (
        "select meter, unit_price, lower(valid), upper(valid) from price order by meter, lower(valid) nulls first"
    )
    with transaction(PLATFORM_ID) as session:
        return [
            (meter, f"{price:f}".rstrip("0").rstrip("."), start, end)
            for meter, price, start, end in session.execute(text(statement))
        ]


def test_a_first_price_counts_for_all_time():
    assert set_prices(input="0.15", output="0.60")

    assert rows() == [("input", "0.15", None, None), ("output", "0.6", None, None)]


def test_a_changed_price_follows_the_old_one_from_now():
    set_prices(input="0.15", output="0.60")

    set_prices(now=LATER, input="0.20", output="0.60")

    assert rows() == [
        ("input", "0.15", None, LATER),
        ("input", "0.2", LATER, None),
        ("output", "0.6", None, None),
    ]


def test_setting_the_same_prices_changes_nothing():
    set_prices(input="0.15")
    before = revisions.current()

    assert not set_prices(now=LATER, input="0.150000")

    assert before == revisions.current()
    assert len(rows()) == 1


def test_a_price_that_is_left_out_ends_and_may_come_back():
    set_prices(input="1", output="2")

    set_prices(now=LATER, input="1")
    set_prices(now=LATER + timedelta(hours=1), input="1", output="3")

    assert [("output", "2", None, LATER), ("output", "3", LATER + timedelta(hours=1), None)] == rows()[1:]


def test_changes_at_one_instant_or_with_the_clock_gone_back_leave_no_empty_row():
    for now, price in ((NOW, "1"), (LATER, "2"), (LATER, "3"), (NOW, "4")):
        set_prices(now=now, input=price)

    found = rows()
    assert [price for _, price, _, _ in found] == ["1", "2", "3", "4"]
    assert all(start is None or end is None or start < end for _, _, start, end in found)
    assert [end for _, _, _, end in found[:-1]] == [start for _, _, start, _ in found[1:]]


def test_zero_is_a_price():
    set_prices(input="0")

    assert {MODEL: {"input": Decimal(0)}} == price_book.current(PLATFORM_ID)


@pytest.mark.parametrize(
    ("meter", "price"),
    [
        ("input", "-1"),
        ("input", "0.1234567"),
        ("input", "NaN"),
        ("input", "Infinity"),
        ("input", "1000001"),
        ("tokens", "1"),
    ],
)
def test_a_price_that_is_not_exact_is_refused(meter, price):
    with pytest.raises(Invalid) as refused:
        set_prices(**{meter: price})

    assert meter == refused.value.field
    assert rows() == []


def test_prices_of_one_workspace_are_not_there_for_another():
    acme, other, subject = workspaces.create("acme"), workspaces.create("other"), new_id()
    price_book.set_prices(acme, subject, {"input": Decimal(1)}, now=NOW)

    assert price_book.current(other) == {}
    assert price_book.set_prices(other, subject, {"input": Decimal(2)}, now=NOW)
    assert {subject: {"input": Decimal(1)}} == price_book.current(acme)
