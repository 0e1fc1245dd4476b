"""Whatever becomes of events on their way, and whatever is done to the ledger meanwhile, the bill is the same.

One workspace gets its events in any order, doubled, cut into batches, replayed, after crashes and late; it is rebuilt,
recomputed, and its month closed and reopened in between, while prices change. Another one gets what is settled, once,
at the end.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.billing.events import PROVISIONAL, SETTLED
from app.billing.tables import ROLLUPS
from app.units import new_id
from tests.billing.books import SUMS, Books
from tests.billing.stories import PRICES, ZONES, Item, Story, billed, charged, corrected, statement, stories

SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=30, deadline=None, suppress_health_check=SLOW)
@given(story=stories(), timezone=st.sampled_from(ZONES))
@example(story=[(0, PROVISIONAL), "close", "recompute", (0, SETTLED)], timezone="UTC")
@example(story=[(0, PROVISIONAL), "close", "recompute", "reopen", (0, SETTLED), "close"], timezone="Asia/Kathmandu")
@example(story=[(0, SETTLED), "close", (1, SETTLED), "take", "stop", "reopen", "recompute", "close"], timezone="UTC")
def test_any_story_ends_with_the_same_ledger_sums_and_statement(
    app: Flask, books: Books, story: list[Item], timezone: str
) -> None:
    messy = Story(books, books.workspace(timezone), (new_id(), new_id()))
    plain = Story(books, books.workspace(timezone), messy.models)
    for subject in messy.models:
        books.price(subject, **PRICES[messy.prices])

    for item in story:
        messy.do(item)
        assert_the_bill_is_whole(messy)
    books.take()
    messy.recompute()
    final = dict(sorted(messy.delivered, key=lambda one: one[1] == SETTLED))
    books.put(*(messy.event(number, state, plain.workspace_id) for number, state in sorted(final.items())))
    books.take()
    plain.close()

    assert app
    assert ledger(plain, money=False) == ledger(messy, money=False)
    assert sums(plain, money=False) == sums(messy, money=False)
    assert billed(plain) == billed(messy)
    messy.reopen()
    messy.recompute()
    messy.close()
    assert ledger(plain, money=True) == ledger(messy, money=True)
    assert sums(plain, money=True) == sums(messy, money=True)
    assert statement(plain) == statement(messy)
    assert {} == corrected(messy)
    for one in (plain, messy):
        assert_every_grouping_is_the_same(books, one.workspace_id)
        assert_the_bill_is_whole(one)


@pytest.mark.parametrize("timezone", ZONES)
@settings(max_examples=6, deadline=None, suppress_health_check=SLOW)
@given(story=stories())
def test_sums_are_those_of_the_rows_after_each_step(books: Books, app: Flask, story: list[Item], timezone: str) -> None:
    messy = Story(books, books.workspace(timezone), (new_id(), new_id()))

    for item in story:
        messy.do(item)
        assert_every_grouping_is_the_same(books, messy.workspace_id)

    assert app
    assert of(books.rollups_from_rows(), messy.workspace_id) == of(books.rollups(), messy.workspace_id)


def assert_the_bill_is_whole(story: Story) -> None:
    """Statement and corrections are the ledger's charges as they are corrected, whatever was done last."""
    assert charged(story, "coalesce(c.corrected_cost, c.billed_cost)") == billed(story)


def assert_every_grouping_is_the_same(books: Books, workspace_id: UUID) -> None:
    """Add the rollups up by each of their columns: the totals are the ledger's."""
    charged = books.sql(
        "select coalesce(sum(billed_cost), 0) as usd, count(*) as calls from charge where workspace_id = %s",
        workspace_id,
    )
    for table in ROLLUPS.values():
        rows = books.sql(f"select * from {table.name} where workspace_id = %s", workspace_id)
        for column in table.primary_key:
            groups = {row[column.name] for row in rows}
            parts = [[row for row in rows if row[column.name] == group] for group in groups]
            found = (
                sum((row["billed_cost"] for part in parts for row in part), Decimal(0)),
                sum(row["requests"] for part in parts for row in part),
            )
            assert (charged[0]["usd"], charged[0]["calls"]) == found


def ledger(story: Story, *, money: bool) -> list[tuple[Any, ...]]:
    """The calls; without `money`, since a closed month's charges stay and corrections make up for them."""
    names = ["event_id", "state", "outcome", "input", "output", "cache_read"] + ["list_cost", "billed_cost"] * money
    return [
        tuple(row[name] for name in names) for row in story.books.rows() if row["workspace_id"] == story.workspace_id
    ]


def sums(story: Story, *, money: bool) -> dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]:
    """Every rollup, without the workspace in its keys."""
    places = [place for place, name in enumerate(SUMS) if money or name not in {"unpriced", "list_cost", "billed_cost"}]
    return {
        name: {key[1:]: tuple(values[place] for place in places) for key, values in table.items()}
        for name, table in of(story.books.rollups(), story.workspace_id).items()
    }


def of(found: dict[str, dict[tuple[Any, ...], Any]], workspace_id: UUID) -> dict[str, dict[tuple[Any, ...], Any]]:
    return {
        name: {key: value for key, value in table.items() if key[0] == workspace_id} for name, table in found.items()
    }
