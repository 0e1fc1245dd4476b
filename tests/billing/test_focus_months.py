"""Whatever calls a month has, its FOCUS rows sum to what was charged, and to its statement when it is closed."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.billing import closing, credit_notes
from app.billing.events import PROVISIONAL, SETTLED, UsageEvent
from app.billing.export_what import FOCUS
from app.units import new_id, utc_now
from tests.billing.books import Books, call, event_id
from tests.billing.exporting import Desk, what

MONTH, NEXT = date(2026, 9, 1), date(2026, 10, 1)
START = datetime(2026, 8, 31, tzinfo=UTC)
ZONES = ("UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Kiritimati", "Etc/GMT+12")
PRICES = ("0.15", "0.333333", "7.000000000001", "0.0000000001", "0")
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]

one_call = st.fixed_dictionaries(
    {
        "hours": st.integers(0, 24 * 32),
        "model": st.integers(0, 2),
        "application": st.integers(0, 1),
        "meters": st.dictionaries(
            st.sampled_from(["input", "cache_read", "output"]), st.integers(1, 3 * 10**9), max_size=3
        ),
        "billable": st.booleans(),
        "is_guess": st.booleans(),
        "is_late": st.booleans(),
    }
)


pytestmark = pytest.mark.usefixtures("app")


@settings(max_examples=12, deadline=None, suppress_health_check=SLOW)
@given(
    calls=st.lists(one_call, min_size=1, max_size=12),
    timezone=st.sampled_from(ZONES),
    prices=st.lists(st.sampled_from(PRICES), min_size=4, max_size=4),
    credit=st.sampled_from(["0.01", "-0.000000000007", None]),
)
def test_rows_sum_to_the_statement_of_any_month(
    desk: Desk, calls: list[dict[str, Any]], timezone: str, prices: list[str], credit: str | None
) -> None:
    workspace_id, models = priced(desk.books, timezone, prices)
    events = [event_of(workspace_id, models, one) for one in calls]
    desk.books.put(*(guessed(event) if one["is_guess"] else event for event, one in events if not one["is_late"]))
    desk.books.take()
    if credit:
        credit_notes.grant(workspace_id, MONTH, Decimal(credit), "kindness", now=utc_now())
    closing.draft(workspace_id, MONTH, now=utc_now())
    statement = closing.close(workspace_id, MONTH, now=utc_now(), unpriced_confirmed=True)
    desk.books.put(*(event for event, _ in events))
    desk.books.take()

    closed = desk.rows(desk.make(workspace_id, what(FOCUS, first=MONTH, last=MONTH)))
    after = desk.rows(desk.make(workspace_id, what(FOCUS, first=NEXT, last=max(date(2026, 11, 30), utc_now().date()))))
    before = desk.rows(desk.make(workspace_id, what(FOCUS, first=date(2026, 8, 1), last=date(2026, 8, 31))))

    assert statement.total == billed(closed)
    lines = [one.amount for one in statement.lines if one.kind == "rounding"]
    charged = desk.books.sql(
        "select coalesce(sum(billed_cost), 0) as usd from charge where workspace_id = %s", workspace_id
    )[0]["usd"]
    assert charged - Decimal(credit or 0) + sum(lines, Decimal(0)) == billed([*before, *closed, *after])


def priced(books: Books, timezone: str, prices: list[str]) -> tuple[UUID, list[UUID]]:
    """Make a workspace that two models have prices for, one of them by list; the third is unpriced."""
    workspace_id, models = books.workspace(timezone), [new_id(), new_id(), new_id()]
    books.price(models[0], input=prices[0], output=prices[1], cache_read=prices[2])
    books.price(models[1], of=workspace_id, input=prices[3], output=prices[0])
    return workspace_id, models


def event_of(workspace_id: UUID, models: list[UUID], one: dict[str, Any]) -> tuple[UsageEvent, dict[str, Any]]:
    at = START + timedelta(hours=one["hours"])
    place = {"model_id": models[one["model"]], "application_id": UUID(int=one["application"] + 1)}
    return (
        call(workspace_id, at=at, event_id=event_id(at), meters=one["meters"], billable=one["billable"], **place),
        one,
    )


def guessed(event: UsageEvent) -> UsageEvent:
    """What is known of a call before it is settled."""
    known = {name: getattr(event, name) for name in event.__struct_fields__}
    assert known["state"] == SETTLED
    return UsageEvent(**known | {"state": PROVISIONAL, "outcome": "unsettled", "meters": {"output": 777}})


def billed(rows: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))
