"""Which rows of the price book count for a call: by owner, subject, instant, service tier and context length."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count, pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.prices import CONTRACT, PROVIDER_COST, Price
from app.model.rate_cards import Adjustment, Consumption, RateCard, price_from
from app.units import PLATFORM_ID

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ACME, OTHER, MODEL, DEPLOYMENT = (UUID(int=n) for n in range(1, 5))
_ids = count(100)


def price(unit_price="1", meter="input", subject_id=MODEL, **values):
    return Price(
        price_id=UUID(int=next(_ids)), subject_id=subject_id, meter=meter, unit_price=Decimal(unit_price), **values
    )


def used(meters=None, *, by=ACME, at=NOW, tier=None):
    return Consumption(by, MODEL, DEPLOYMENT, at, meters or {"input": 1_000_000}, service_tier=tier)


def billed(card, *arguments, **values):
    return card.rate(used(*arguments, **values)).cost.billed_usd


def test_a_deployments_own_price_goes_before_its_models():
    card = RateCard([(ACME, price("1")), (ACME, price("2", subject_id=DEPLOYMENT, end=NOW))])

    assert [Decimal(2), Decimal(1)] == [billed(card, at=at) for at in (NOW - timedelta(1), NOW)]


def test_the_platforms_price_goes_before_a_workspaces_own():
    card = RateCard([(ACME, price("0")), (PLATFORM_ID, price("1"))])

    assert Decimal(1) == billed(card)


def test_a_contract_counts_for_its_workspace_alone():
    card = RateCard([(PLATFORM_ID, price("3")), (ACME, price("2", kind=CONTRACT))])

    assert [Decimal(2), Decimal(3)] == [billed(card, by=by) for by in (ACME, OTHER)]


def test_an_adjustment_counts_in_its_time_and_is_named_only_where_it_counts():
    adjustment = Adjustment(adjustment_id=UUID(int=9), factor=Decimal("0.9"), end=NOW)
    card = RateCard([(PLATFORM_ID, price("3"))], [(ACME, adjustment)])
    under_contract = RateCard([(ACME, price("3", kind=CONTRACT))], [(ACME, adjustment)])

    before, after, other, own = (
        one.rate(used(at=at, by=by))
        for one, at, by in (
            (card, NOW - timedelta(1), ACME),
            (card, NOW, ACME),
            (card, NOW - timedelta(1), OTHER),
            (under_contract, NOW - timedelta(1), ACME),
        )
    )

    assert (Decimal("2.7"), adjustment.adjustment_id) == (before.cost.billed_usd, before.adjustment_id)
    assert [(Decimal(3), None)] * 3 == [(one.cost.billed_usd, one.adjustment_id) for one in (after, other, own)]


def test_a_service_tier_without_a_row_of_its_own_takes_the_standard_one():
    rows = [price("4"), price("8", "output"), price("2", service_tier="batch"), price("7", service_tier="priority")]
    card = RateCard((PLATFORM_ID, row) for row in rows)
    meters = {"input": 1_000_000, "output": 1_000_000}

    found = {tier: billed(card, meters, tier=tier) for tier in (None, "standard", "batch", "priority", "flex", "odd")}

    dollars = {None: 12, "standard": 12, "batch": 10, "priority": 15, "flex": 12, "odd": 12}
    assert {tier: Decimal(whole) for tier, whole in dollars.items()} == found


@pytest.mark.parametrize(
    ("meters", "dollars"),
    [
        ({"input": 200_000}, "0.2"),
        ({"input": 200_001}, "0.400002"),
        ({"input": 1, "cache_read": 200_000}, "0.400002"),
        ({"input": 100_000, "cache_write_5m": 50_000, "cache_write_1h": 50_000, "input_audio": 1}, "0.400002"),
        ({"input": 100_000, "output": 900_000}, "4.6"),
        ({"input": 1_000_000}, "2"),
        ({"input": 1_000_001}, "3.000003"),
    ],
)
def test_the_longest_context_that_is_exceeded_counts_for_the_whole_call(meters, dollars):
    rows = [price("1"), price("5", "output"), price("3", context_over=1_000_000), price("2", context_over=200_000)]

    assert Decimal(dollars) == billed(RateCard((PLATFORM_ID, row) for row in rows), meters)


def test_what_a_provider_takes_is_the_owners_row():
    rows = [(PLATFORM_ID, price("3")), (PLATFORM_ID, price("2", kind=PROVIDER_COST))]

    assert Decimal(2) == RateCard(rows).rate(used()).cost.provider_usd


def test_only_what_costs_nothing_at_any_length_and_tier_is_free():
    rows = {
        "free": [(PLATFORM_ID, price("0"))],
        "dear when long": [(PLATFORM_ID, price("0")), (PLATFORM_ID, price("1", context_over=9))],
        "dear when fast": [(PLATFORM_ID, price("0")), (PLATFORM_ID, price("1", service_tier="priority"))],
        "free by contract": [(PLATFORM_ID, price("1")), (ACME, price("0", kind=CONTRACT))],
        "dear by contract": [(PLATFORM_ID, price("0")), (ACME, price("1", kind=CONTRACT))],
        "unpriced": [],
    }

    assert {"free", "free by contract"} == {name for name, found in rows.items() if RateCard(found).is_free(used({}))}


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=6, unique=True), st.integers(-1, 1001))
def test_at_each_instant_exactly_one_of_following_prices_counts(changes, at):
    bounds = [None, *(NOW + timedelta(minutes=minute) for minute in sorted(changes)), None]
    rows = [price(n, start=start, end=end) for n, (start, end) in enumerate(pairwise(bounds))]

    found = billed(RateCard((ACME, row) for row in rows), at=NOW + timedelta(minutes=at))

    assert sum(minute <= at for minute in changes) == found


@given(st.decimals(0, 1_000_000, places=12))
def test_a_price_survives_its_journey_as_json(unit_price):
    row = {"price_id": str(MODEL), "subject_id": str(DEPLOYMENT), "meter": "input", "unit_price": f"{unit_price:.12f}"}
    row |= {"kind": "contract", "service_tier": "batch", "context_over": 200_000}

    found = price_from(row | {"from": "-infinity", "to": "2026-05-01T00:00:00+00:00"})

    assert (unit_price, "contract", "batch", 200_000) == (
        found.unit_price,
        found.kind,
        found.service_tier,
        found.context_over,
    )
    assert (None, NOW) == (found.start, found.end)
