"""The price function: exact, the same for one call as for many, and the same again from the rows that it names."""

from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.billing.entries import MOST_TOKENS
from app.model.prices import CONTRACT, FALLBACKS, KINDS, PROVIDER_COST, UNITS, Price, Prices, amount, cost, of_rows
from app.wire.usage import METERS

MODEL = UUID(int=1)
ALL = (*METERS, *UNITS)

amounts = st.decimals(0, 1_000_000, places=6, allow_nan=False, allow_infinity=False)
counts = st.dictionaries(st.sampled_from(METERS), st.integers(0, MOST_TOKENS))


def price(meter="input", unit_price="1", kind="list"):
    mark = UUID(int=100 * (1 + KINDS.index(kind)) + ALL.index(meter))
    return Price(price_id=mark, subject_id=MODEL, meter=meter, unit_price=Decimal(unit_price), kind=kind)


def rows(kind="list", **unit_prices):
    return {meter: price(meter, unit_price, kind) for meter, unit_price in unit_prices.items()}


def book(**unit_prices):
    return Prices(rows(**unit_prices))


def test_a_call_costs_its_tokens_times_their_prices():
    charged = cost({"input": 10, "output": 100}, book(input="1.00", output="2.00"))

    assert Decimal("0.00021") == charged.list_usd == charged.billed_usd
    assert (UUID(int=100), UUID(int=104)) == charged.price_ids
    assert [("input", 10, UUID(int=100), Decimal("0.00001"), Decimal("0.00001"))] == [
        line[:5] for line in charged.lines[:1]
    ]


def test_a_meter_without_a_price_takes_its_neighbours():
    charged = cost(
        {"cache_read": 4, "reasoning": 2, "cache_write_1h": 1}, book(input="1", output="3", cache_write_5m="2")
    )

    assert Decimal(4 * 1 + 2 * 3 + 1 * 2) / 1_000_000 == charged.billed_usd


def test_without_a_price_a_call_is_unpriced_and_not_free():
    assert cost({"input": 1}, Prices()).billed_usd is None
    assert (None, None, None, ()) == cost({"input": 1, "output": 1}, book(input="1"))


def test_a_price_of_zero_is_free():
    assert Decimal(0) == cost({"input": 10**9}, book(input="0")).billed_usd


def test_a_factor_counts_for_list_prices_and_not_for_a_contracts():
    prices = Prices(rows(input="1", output="2"), rows(CONTRACT, output="1.5"))

    charged = cost({"input": 1_000_000, "output": 1_000_000}, prices, Decimal("1.1"))

    assert (Decimal(3), Decimal("2.6")) == (charged.list_usd, charged.billed_usd)
    assert (UUID(int=100), UUID(int=104), UUID(int=204)) == charged.price_ids


def test_a_contracts_price_for_input_counts_for_meters_that_take_inputs_price():
    prices = Prices(rows(input="3", cache_write_5m="4", output="9"), rows(CONTRACT, input="2"))

    lines = cost({"input": 1, "cache_read": 1, "cache_write_5m": 1}, prices).lines

    assert [Decimal(2), Decimal(2), Decimal(4)] == [line.price.unit_price for line in lines]


def test_a_contract_alone_bills_what_the_list_does_not_know():
    charged = cost({"input": 1_000_000}, Prices(contract=rows(CONTRACT, input="2")), Decimal(5))

    assert (None, Decimal(2)) == (charged.list_usd, charged.billed_usd)


def test_a_call_is_charged_once_where_calls_have_a_price():
    charged = cost({"input": 1_000_000, "image": 3}, book(input="1", image="0.04", request="0.005"))

    assert Decimal("1.125") == charged.billed_usd
    assert [("image", 3), ("request", 1)] == [line[:2] for line in charged.lines[1:]]


def test_calls_without_a_price_of_their_own_are_not_unpriced_but_images_are():
    assert Decimal(1) == cost({"input": 1_000_000}, book(input="1")).billed_usd
    assert cost({"input": 1, "image": 1}, book(input="1")).billed_usd is None


def test_what_a_provider_takes_is_added_up_beside_and_unknown_without_rows():
    meters, provider = {"input": 1_000_000}, rows(PROVIDER_COST, input="0.7")

    assert Decimal("0.7") == cost(meters, Prices(rows(input="1"), provider=provider)).provider_usd
    assert Decimal("0.7") == cost(meters, Prices(provider=provider)).provider_usd
    assert cost(meters, book(input="1")).provider_usd is None
    assert cost({"output": 1}, Prices(provider=provider)).provider_usd is None


def test_each_meter_is_rounded_half_to_even_at_the_twelfth_decimal():
    smallest, half = Decimal("0.000000000001"), Decimal("0.0000005")

    assert [0, 2 * smallest, 2 * smallest] == [amount("input", count, half) for count in (1, 3, 4)]
    assert 0 == cost({"input": 1, "output": 1}, Prices(rows(input=half, output=half))).billed_usd


@given(counts, st.fixed_dictionaries(dict.fromkeys(METERS, amounts)))
def test_a_cost_is_exact_and_fits_the_ledger(meters, unit_prices):
    charged = cost(meters, book(**unit_prices)).billed_usd

    exact = sum(Fraction(count) * Fraction(unit_prices[meter]) for meter, count in meters.items()) / 1_000_000
    assert exact == Fraction(charged)
    assert charged == round(charged, 12)


@given(st.integers(0, MOST_TOKENS), st.decimals(0, 1_000_000, places=12), st.decimals(0, 100, places=6))
def test_an_amount_is_rounded_once_whatever_its_digits(count, unit_price, factor):
    exact = Fraction(count) * Fraction(unit_price) * Fraction(factor) / 1_000_000

    off = abs(Fraction(amount("input", count, unit_price, factor)) - exact)

    assert off <= Fraction(1, 2 * 10**12)


@given(counts, counts, st.fixed_dictionaries({"input": amounts, "output": amounts}))
def test_two_calls_cost_what_one_of_both_would(first, second, unit_prices):
    prices = book(**unit_prices)
    both = {meter: first.get(meter, 0) + second.get(meter, 0) for meter in {**first, **second}}

    apart = cost(first, prices).billed_usd + cost(second, prices).billed_usd
    assert apart == cost(both, prices).billed_usd


@given(counts, amounts)
def test_every_meter_finds_a_price_once_input_and_output_have_one(meters, unit_price):
    prices = book(input=unit_price, output=unit_price)

    assert sum(meters.values()) * unit_price / 1_000_000 == cost(meters, prices).billed_usd


@given(
    counts,
    st.dictionaries(st.sampled_from(ALL), amounts),
    st.dictionaries(st.sampled_from(ALL), amounts),
    st.decimals(0, 100, places=6),
)
def test_the_rows_that_a_cost_names_give_it_again(meters, listed, contract, factor):
    prices = Prices(rows(**listed), rows(CONTRACT, **contract))
    known = {row.price_id: row for kind in (prices.listed, prices.contract) for row in kind.values()}
    charged = cost(meters, prices, factor)

    again = cost(meters, of_rows(known[price_id] for price_id in charged.price_ids), factor)

    assert charged.billed_usd is None or charged.lines == again.lines or not meters


def test_every_meter_falls_back_to_input_or_output():
    for meter in METERS:
        while meter in FALLBACKS:
            meter = FALLBACKS[meter]  # noqa: PLW2901
        assert meter in {"input", "output"}
