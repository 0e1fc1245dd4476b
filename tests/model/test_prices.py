from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.billing.entries import MOST_TOKENS
from app.model.prices import FALLBACKS, Price, PriceBook, cost, from_json
from app.wire.usage import METERS

NOW = datetime(2026, 5, 1, tzinfo=UTC)
MODEL, DEPLOYMENT = UUID(int=1), UUID(int=2)

amounts = st.decimals(0, 1_000_000, places=6, allow_nan=False, allow_infinity=False)
counts = st.dictionaries(st.sampled_from(METERS), st.integers(0, MOST_TOKENS))


def price(meter="input", unit_price="1", subject_id=MODEL, **values):
    mark = UUID(int=METERS.index(meter) + 100)
    return Price(price_id=mark, subject_id=subject_id, meter=meter, unit_price=Decimal(unit_price), **values)


def book(**unit_prices):
    return {meter: price(meter, unit_price) for meter, unit_price in unit_prices.items()}


def test_a_call_costs_its_tokens_times_their_prices():
    charged = cost({"input": 10, "output": 100}, book(input="1.00", output="2.00"))

    assert Decimal("0.00021") == charged.usd
    assert (UUID(int=100), UUID(int=104)) == charged.price_ids


def test_a_meter_without_a_price_takes_its_neighbours():
    charged = cost(
        {"cache_read": 4, "reasoning": 2, "cache_write_1h": 1}, book(input="1", output="3", cache_write_5m="2")
    )

    assert Decimal(4 * 1 + 2 * 3 + 1 * 2) / 1_000_000 == charged.usd


def test_without_a_price_a_call_is_unpriced_and_not_free():
    assert cost({"input": 1}, {}) is None
    assert cost({"input": 1, "output": 1}, book(input="1")) is None


def test_a_price_of_zero_is_free():
    assert Decimal(0) == cost({"input": 10**9}, book(input="0")).usd


@given(counts, st.fixed_dictionaries(dict.fromkeys(METERS, amounts)))
def test_a_cost_is_exact_and_fits_the_ledger(meters, unit_prices):
    charged = cost(meters, {meter: price(meter, amount) for meter, amount in unit_prices.items()})

    exact = sum(Fraction(count) * Fraction(unit_prices[meter]) for meter, count in meters.items()) / 1_000_000
    assert exact == Fraction(charged.usd)
    assert charged.usd == round(charged.usd, 12)


@given(counts, counts, st.fixed_dictionaries({"input": amounts, "output": amounts}))
def test_two_calls_cost_what_one_of_both_would(first, second, unit_prices):
    prices = {meter: price(meter, amount) for meter, amount in unit_prices.items()}
    both = {meter: first.get(meter, 0) + second.get(meter, 0) for meter in {**first, **second}}

    assert cost(first, prices).usd + cost(second, prices).usd == cost(both, prices).usd


@given(counts, amounts)
def test_every_meter_finds_a_price_once_input_and_output_have_one(meters, amount):
    prices = {meter: price(meter, amount) for meter in ("input", "output")}

    assert sum(meters.values()) * amount / 1_000_000 == cost(meters, prices).usd


def test_every_meter_falls_back_to_input_or_output():
    for meter in METERS:
        while meter in FALLBACKS:
            meter = FALLBACKS[meter]  # noqa: PLW2901
        assert meter in {"input", "output"}


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=6, unique=True), st.integers(-1, 1001))
def test_at_each_instant_exactly_one_of_following_prices_counts(changes, at):
    bounds = [None, *(NOW + timedelta(minutes=minute) for minute in sorted(changes)), None]
    rows = [
        Price(price_id=UUID(int=n), subject_id=MODEL, meter="input", unit_price=Decimal(n), start=start, end=end)
        for n, (start, end) in enumerate(pairwise(bounds))
    ]

    instant = NOW + timedelta(minutes=at)
    found = PriceBook(rows).at(instant, deployment_id=DEPLOYMENT, model_id=MODEL)["input"]
    assert sum(minute <= at for minute in changes) == found.unit_price


def test_a_deployments_own_price_goes_before_its_models():
    prices = PriceBook([price(unit_price="1"), price(unit_price="2", subject_id=DEPLOYMENT, end=NOW)])

    before, after = (
        prices.at(instant, deployment_id=DEPLOYMENT, model_id=MODEL)["input"].unit_price
        for instant in (NOW - timedelta(1), NOW)
    )
    assert (Decimal(2), Decimal(1)) == (before, after)


@given(amounts)
def test_a_price_survives_its_journey_as_json(amount):
    row = {"price_id": str(MODEL), "subject_id": str(DEPLOYMENT), "meter": "input", "unit_price": f"{amount:.12f}"}

    found = from_json(row | {"from": None, "to": "2026-05-01T00:00:00+00:00"})
    assert (amount, None, NOW) == (found.unit_price, found.start, found.end)
