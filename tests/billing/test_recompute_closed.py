"""Closed months keep their charges: a recompute corrects them in the running month, once."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from app.billing import closing, periods, rating_jobs, rating_runs
from app.units import new_id, utc_now
from tests.billing import rerating
from tests.billing.books import Books, call
from tests.billing.rerating import billed, dry_run, recompute, reprice

pytestmark = pytest.mark.usefixtures("app")
AUGUST, SEPTEMBER = date(2026, 8, 1), date(2026, 9, 1)
IN_AUGUST = datetime(2026, 8, 20, 12, tzinfo=UTC)
IN_SEPTEMBER = datetime(2026, 9, 5, 12, tzinfo=UTC)
LATER = datetime(2026, 10, 3, tzinfo=UTC)
BEFORE, AFTER = Decimal("0.000210"), Decimal("0.000430")
OLD: dict[str, Any] = {"input": "1", "output": "2"}
NEW: dict[str, Any] = {"input": "3", "output": "4"}
BOTH = (IN_AUGUST - timedelta(days=10), IN_SEPTEMBER + timedelta(days=1))


@pytest.fixture
def place(books: Books) -> tuple[UUID, UUID]:
    """A workspace with a model: two calls in August, which is closed, and one in September, which is not."""
    workspace_id, model_id = books.workspace("Asia/Kathmandu"), new_id()
    books.price(model_id, **OLD)
    instants = (IN_AUGUST - timedelta(days=9), IN_AUGUST, IN_SEPTEMBER)
    books.put(*(call(workspace_id, at=at, model_id=model_id, application_id=None) for at in instants))
    books.take()
    close(workspace_id)
    return workspace_id, model_id


def close(workspace_id: UUID, month: date = AUGUST) -> None:
    closing.draft(workspace_id, month, now=LATER)
    closing.close(workspace_id, month, now=LATER)


def corrected(books: Books, workspace_id: UUID) -> Decimal:
    return sum((one["amount"] for one in corrections(books, workspace_id)), Decimal(0))


def corrections(books: Books, workspace_id: UUID) -> list[dict[str, Any]]:
    return books.sql("select * from correction where workspace_id = %s order by correction_id", workspace_id)


def test_the_open_month_is_replaced_and_the_closed_one_corrected(books: Books, place: tuple[UUID, UUID]) -> None:
    workspace_id, model_id = place
    reprice(books, model_id, **NEW)

    run = recompute(books, workspace_id, *BOTH)

    assert [BEFORE, BEFORE, AFTER] == billed(books, workspace_id)
    names = ("closed_month", "into_month", "application_id", "model_id", "amount", "calls", "run_id", "reason")
    about = (AUGUST, periods.running(workspace_id, utc_now()), None, model_id)
    assert [(*about, AFTER - BEFORE, 0, run.run_id, "new prices")] * 2 == [
        tuple(made[name] for name in names) for made in corrections(books, workspace_id)
    ]
    assert books.rollups_from_rows() == books.rollups()


def test_only_the_days_that_are_asked_for_are_corrected(books: Books, place: tuple[UUID, UUID]) -> None:
    workspace_id, model_id = place
    reprice(books, model_id, **NEW)

    recompute(books, workspace_id, IN_AUGUST, IN_AUGUST + timedelta(hours=1))
    assert AFTER - BEFORE == corrected(books, workspace_id)

    recompute(books, workspace_id, *BOTH)
    assert 2 * (AFTER - BEFORE) == corrected(books, workspace_id)


def test_what_a_closed_month_is_wrong_by_is_corrected_once(books: Books, place: tuple[UUID, UUID]) -> None:
    workspace_id, model_id = place
    reprice(books, model_id, **NEW)
    recompute(books, workspace_id, *BOTH)
    recompute(books, workspace_id, *BOTH)
    assert 2 * (AFTER - BEFORE) == corrected(books, workspace_id)

    reprice(books, model_id, input="0", output="0")
    recompute(books, workspace_id, *BOTH)

    assert -2 * BEFORE == corrected(books, workspace_id)
    assert [BEFORE, BEFORE, 0] == billed(books, workspace_id)


def test_prices_that_are_as_they_were_take_the_correction_back(books: Books, place: tuple[UUID, UUID]) -> None:
    workspace_id, model_id = place
    reprice(books, model_id, **NEW)
    recompute(books, workspace_id, *BOTH)

    reprice(books, model_id, **OLD)
    recompute(books, workspace_id, *BOTH)

    assert 0 == corrected(books, workspace_id)
    assert [BEFORE, BEFORE, BEFORE] == billed(books, workspace_id)


def test_a_month_that_is_reopened_and_recomputed_is_not_corrected_any_more(
    books: Books, place: tuple[UUID, UUID]
) -> None:
    workspace_id, model_id = place
    reprice(books, model_id, **NEW)
    recompute(books, workspace_id, *BOTH)
    closing.reopen(workspace_id, AUGUST, "a mistake", now=LATER)

    recompute(books, workspace_id, *BOTH)

    assert [AFTER, AFTER, AFTER] == billed(books, workspace_id)
    assert 0 == corrected(books, workspace_id)
    for prices, cost in ((OLD, BEFORE), (OLD, BEFORE), (NEW, AFTER)):
        reprice(books, model_id, **prices)
        recompute(books, workspace_id, *BOTH)
        assert ([cost] * 3, 0) == (billed(books, workspace_id), corrected(books, workspace_id))


def test_a_dry_run_says_which_part_would_be_a_correction(books: Books, place: tuple[UUID, UUID]) -> None:
    workspace_id, model_id = place
    reprice(books, model_id, **NEW)

    run = dry_run(books, workspace_id, *BOTH)

    found = {(one.month, one.is_closed): one.calls for one in rating_runs.deltas(workspace_id, run.run_id)}
    assert {(AUGUST, True): 2, (SEPTEMBER, False): 1} == found
    assert [] == corrections(books, workspace_id)


def begun(books: Books, workspace_id: UUID, model_id: UUID) -> UUID:
    """A recompute by new prices that has done one of its three days."""
    reprice(books, model_id, **NEW)
    run_id = rating_runs.apply(workspace_id, dry_run(books, workspace_id, *BOTH).run_id, run_id=new_id())
    for _ in range(2):
        rating_jobs.work(books.ingest, books.redis, run_id)
    return run_id


def test_what_a_cancelled_run_has_corrected_stays_and_the_next_one_does_the_rest(
    books: Books, place: tuple[UUID, UUID]
) -> None:
    workspace_id, model_id = place
    run_id = begun(books, workspace_id, model_id)

    rating_runs.cancel(workspace_id, run_id, now=LATER)

    assert not rating_jobs.work(books.ingest, books.redis, run_id)
    assert AFTER - BEFORE == corrected(books, workspace_id)
    recompute(books, workspace_id, *BOTH)
    assert 2 * (AFTER - BEFORE) == corrected(books, workspace_id)


@pytest.mark.parametrize("again", [False, True])
def test_a_month_that_is_opened_again_while_a_run_goes_is_billed_once(
    books: Books, place: tuple[UUID, UUID], again: bool
) -> None:
    workspace_id, model_id = place
    run_id = begun(books, workspace_id, model_id)
    closing.reopen(workspace_id, AUGUST, "a mistake", now=LATER)

    rerating.work(books, run_id)
    if again:
        recompute(books, workspace_id, *BOTH)
    close(workspace_id)

    assert 2 * AFTER == stated(books, workspace_id) + corrected(books, workspace_id)
    assert (2 * AFTER if again else BEFORE + AFTER) == stated(books, workspace_id)


def stated(books: Books, workspace_id: UUID) -> Decimal:
    """What the statements that stand say of usage."""
    lines = books.sql(
        "select l.amount from statement_line l join statement s using (workspace_id, statement_id)"
        " where workspace_id = %s and voided_at is null and kind = 'usage'",
        workspace_id,
    )
    return sum((line["amount"] for line in lines), Decimal(0))


def test_charges_of_a_closed_month_stay_as_they_were_to_the_last_column(books: Books, place: tuple[UUID, UUID]) -> None:
    workspace_id, model_id = place
    asked = "select to_jsonb(c) - 'corrected_cost' as is_so from charge c where occurred_at < %s order by event_id"
    before, sums = books.sql(asked, IN_SEPTEMBER), books.rollups()
    reprice(books, model_id, **NEW)

    recompute(books, workspace_id, IN_AUGUST - timedelta(days=12), IN_AUGUST + timedelta(days=3))

    assert before == books.sql(asked, IN_SEPTEMBER)
    assert sums == books.rollups()


@pytest.mark.parametrize("is_open", [False, True])
def test_a_call_that_is_settled_after_its_correction_is_corrected_to_what_it_costs(books: Books, is_open: bool) -> None:
    """Its provisional cost was corrected by a recompute; neither that nor a reopened month counts it twice."""
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, **OLD)
    guess = call(workspace_id, at=IN_AUGUST, model_id=model_id, state="provisional", meters={"input": 1000})
    books.put(guess)
    books.take()
    close(workspace_id)
    reprice(books, model_id, **NEW)
    recompute(books, workspace_id, *BOTH)
    assert Decimal("0.002") == corrected(books, workspace_id)
    if is_open:
        closing.reopen(workspace_id, AUGUST, "a mistake", now=LATER)

    ids = {name: getattr(guess, name) for name in ("event_id", "key_id", "application_id", "deployment_id")}
    books.put(call(workspace_id, at=IN_AUGUST, model_id=model_id, **ids))
    books.take()

    if is_open:
        close(workspace_id)
    assert AFTER == stated(books, workspace_id) + corrected(books, workspace_id)
    assert (AFTER if is_open else Decimal("0.001")) == stated(books, workspace_id)
    recompute(books, workspace_id, *BOTH)
    assert AFTER == stated(books, workspace_id) + corrected(books, workspace_id)


def test_a_call_that_is_settled_between_a_dry_run_and_its_recompute_costs_what_it_costs(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, **OLD)
    guess = call(workspace_id, at=IN_AUGUST, model_id=model_id, state="provisional", meters={"input": 1000})
    books.put(guess)
    books.take()
    close(workspace_id)
    reprice(books, model_id, **NEW)
    shown = dry_run(books, workspace_id, *BOTH).run_id

    books.put(call(workspace_id, at=IN_AUGUST, model_id=model_id, event_id=guess.event_id))
    books.take()
    rerating.work(books, rating_runs.apply(workspace_id, shown, run_id=new_id()))

    assert AFTER == stated(books, workspace_id) + corrected(books, workspace_id)


def test_a_closed_month_that_loses_its_price_is_corrected_to_nothing_and_stays_so(
    books: Books, place: tuple[UUID, UUID]
) -> None:
    workspace_id, model_id = place
    books.owner.execute("delete from price where subject_id = %s", [model_id])

    recompute(books, workspace_id, *BOTH)

    assert -2 * BEFORE == corrected(books, workspace_id)
    assert 0 == dry_run(books, workspace_id, *BOTH).changed


def test_calls_are_in_the_month_that_the_periods_say_after_a_move_to_another_zone(app: Flask, books: Books) -> None:
    """August ends at 18:15 in Kathmandu; where the workspace is now, the evening after is still August by the calendar."""
    workspace_id, model_id = books.workspace("Asia/Kathmandu"), new_id()
    end = datetime(2026, 8, 31, 18, 15, tzinfo=UTC)
    books.put(*(call(workspace_id, at=at, model_id=model_id) for at in (end - timedelta(hours=1), end)))
    books.take()
    closing.draft(workspace_id, AUGUST, now=LATER)
    closing.close(workspace_id, AUGUST, now=LATER, unpriced_confirmed=True)
    books.move(workspace_id, "Etc/GMT+12")
    books.price(model_id, **NEW)

    recompute(books, workspace_id, end - timedelta(hours=2), end + timedelta(hours=2))

    assert app
    assert [None, AFTER] == billed(books, workspace_id)
    assert [(AUGUST, AFTER)] == [(one["closed_month"], one["amount"]) for one in corrections(books, workspace_id)]
