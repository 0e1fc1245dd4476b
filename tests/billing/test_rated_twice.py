"""Ingest and a recompute go by one function and one rule: calls that are rated again cost what they did."""

from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from app.model.prices import SERVICE_TIERS
from app.units import PLATFORM_ID, new_id
from tests.billing import rerating
from tests.billing.books import NOON, Books, call

MILLION = 1_000_000
METERS: tuple[dict[str, int], ...] = (
    {},
    {"input": 0, "output": 0},
    {"input": 10, "output": 100},
    {"input": 10, "output": 0, "reasoning": 0},
    {"output": 7},
    {"input": 300_000, "cache_read": 5},
    {"input": 1, "cache_read": 2, "cache_write_5m": 3, "cache_write_1h": 5, "output": 7, "reasoning": 11},
    {"input_audio": 13, "output_audio": 17, "output": 1},
    {"input": 1, "image": 2},
    {"input": 1, "image": 0},
)
LISTS = {
    "input alone": {"input": "0.15"},
    "input and output": {"input": "0.15", "output": "0.6"},
    "output alone": {"output": "0.333333"},
    "calls": {"input": "1", "output": "2", "request": "0.005"},
    "every meter": {
        "input": "3",
        "cache_read": "0.3",
        "cache_write_5m": "3.75",
        "cache_write_1h": "6",
        "output": "15",
        "reasoning": "16",
        "input_audio": "40",
        "output_audio": "80",
        "image": "0.04",
    },
    "nothing": {},
}


def row(books: Books, of: UUID, subject_id: UUID, meter: str, price: str, **slot: Any) -> None:
    """Put a row of any kind and tier into the book."""
    values = {"kind": "list", "service_tier": "standard", "context_over": 0} | slot
    books.owner.execute(
        "insert into price (workspace_id, price_id, subject_id, meter, unit_price, valid, kind, service_tier, context_over)"
        " values (%s, %s, %s, %s, %s, '(,)', %s, %s, %s)",
        [of, new_id(), subject_id, meter, Decimal(price), *values.values()],
    )


def tiers_and_terms(books: Books, workspace_id: UUID, model_id: UUID) -> None:
    """Give a model tiers, a provider cost and a contract for input."""
    for meter, price, slot in (
        ("input", "0.05", {"service_tier": "batch"}),
        ("output", "9.99", {"service_tier": "priority"}),
        ("input", "0.4", {"context_over": 200_000}),
        ("input", "0.07", {"kind": "provider_cost"}),
    ):
        row(books, PLATFORM_ID, model_id, meter, price, **slot)
    row(books, workspace_id, model_id, "input", "0.11", kind="contract")


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("with_terms", [False, True], ids=["list", "tiers and terms"])
def test_calls_that_are_rated_again_at_once_cost_what_they_did(books: Books, with_terms: bool) -> None:
    workspace_id, models = books.workspace(), [new_id() for _ in LISTS]
    for model_id, prices in zip(models, LISTS.values(), strict=True):
        books.price(model_id, **prices)
        if with_terms:
            tiers_and_terms(books, workspace_id, model_id)
    adjustment = (
        "insert into price_adjustment (workspace_id, adjustment_id, factor, valid) values (%s, %s, 1.15, '(,)')"
    )
    books.owner.execute(adjustment, [workspace_id, new_id()])
    cases = product(models, METERS, (None, *SERVICE_TIERS, "unheard of"), (True, False))
    for number, (model_id, meters, tier, billable) in enumerate(cases):
        at, free = (
            NOON + timedelta(seconds=number),
            {} if billable else {"billable": False, "billable_reason": "broken"},
        )
        books.put(call(workspace_id, at=at, model_id=model_id, meters=meters, service_tier=tier, **free))
    books.take()

    run = rerating.dry_run(books, workspace_id)

    assert (len(models) * len(METERS) * 6 * 2, 0, Decimal(0)) == (run.calls_done, run.changed, run.delta)
    assert 0 < books.sql("select count(*) as n from charge where billed_cost is null")[0]["n"] < run.calls_done


def test_a_meter_of_zero_needs_no_price_and_makes_no_line(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    ids = books.price(model_id, input="1")

    books.put(call(workspace_id, model_id=model_id, meters={"input": MILLION, "output": 0, "image": 0}))
    books.take()

    (charged,) = books.rows()
    assert (Decimal(1), [ids["input"]]) == (charged["billed_cost"], charged["price_ids"])


@pytest.mark.parametrize(
    ("meters", "tier", "billed"),
    [
        ({"cache_write_5m": MILLION}, None, "3.755"),
        ({"cache_write_1h": MILLION}, None, "6.005"),
        ({"input_audio": MILLION}, None, "40.005"),
        ({"output_audio": MILLION}, None, "80.005"),
        ({"image": 3}, None, "0.125"),
        ({}, None, "0.005"),
        ({"input": 200_000}, None, "0.605"),
        ({"input": 200_001}, None, "1.205006"),
        ({"input": MILLION // 10}, "batch", "0.155"),
        ({"input": MILLION // 10}, "flex", "0.205"),
        ({"input": MILLION // 10}, "priority", "0.605"),
    ],
)
def test_every_tier_and_meter_of_the_book_reaches_the_charge(books: Books, meters: Any, tier: Any, billed: str) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, **LISTS["every meter"], request="0.005")
    row(books, PLATFORM_ID, model_id, "input", "6", context_over=200_000)
    for service_tier, price in (("batch", "1.5"), ("flex", "2"), ("priority", "6")):
        row(books, PLATFORM_ID, model_id, "input", price, service_tier=service_tier)

    books.put(call(workspace_id, model_id=model_id, meters=meters, service_tier=tier))
    books.take()

    assert [Decimal(billed)] == [charged["billed_cost"] for charged in books.rows()]
