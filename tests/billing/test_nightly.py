"""The nightly check: ordered once a day where the workspace is, silent when all is exact, loud when it is not."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.billing import jobs, nightly, rating_jobs, rating_steps
from app.logging import rating_figures
from app.units import new_id, zone
from tests.billing import rerating
from tests.billing.books import Books, call

YESTERDAY = datetime(2026, 11, 9, 12, tzinfo=UTC)
NIGHT = datetime(2026, 11, 10, 6, tzinfo=UTC)


def checked(books: Books) -> UUID:
    """A workspace that had priced and unpriced calls yesterday, and its check."""
    workspace_id, model_id = books.workspace("Europe/Berlin"), new_id()
    books.price(model_id, input="0.15", output="0.6")
    books.put(*(call(workspace_id, at=YESTERDAY, model_id=one, application_id=None) for one in (model_id, new_id())))
    books.put(call(workspace_id, at=YESTERDAY, model_id=model_id, billable=False, meters={}))
    books.put(call(workspace_id, at=YESTERDAY, model_id=model_id, meters={"output": 3, "input": 2, "cache_read": 1}))
    books.take()
    nightly.order(books.ingest, NIGHT)
    run_id = rating_jobs.next_run(books.ingest)
    assert run_id
    return run_id


def state(books: Books, run_id: UUID) -> Any:
    (row,) = books.sql("select state, changed, calls_done from rating_run where run_id = %s", run_id)
    return tuple(row.values())


def figures(books: Books) -> dict[str, float]:
    samples = [sample for metric in rating_figures.read(books.redis) for sample in metric.samples]
    return {sample.labels["outcome"]: sample.value for sample in samples if "outcome" in sample.labels}


def test_a_day_that_is_right_passes_and_is_counted(books: Books) -> None:
    run_id = checked(books)

    rerating.work(books, run_id)

    assert ("done", 0, 4) == state(books, run_id)
    assert {"passed": 1, "failed": 0} == figures(books)
    assert rating_jobs.next_run(books.ingest) is None


@pytest.mark.parametrize(
    "spoil",
    [
        "update charge set billed_cost = billed_cost + 0.000000000001 where billed_cost > 0",
        "update charge set billed_cost = 0 where billed_cost is null",
        "update charge set price_ids = '{}' where billed_cost > 0",
        "update rollup_hour_key set billed_cost = billed_cost + 0.000000000001",
        "update rollup_day set requests = requests + 1",
        "delete from rollup_hour_app",
        "update rollup_hour_model set input = input + 1",
        "delete from charge where billed_cost > 0",
    ],
)
def test_the_smallest_difference_fails_the_job_and_is_said(
    books: Books, caplog: pytest.LogCaptureFixture, spoil: str
) -> None:
    run_id = checked(books)
    books.owner.execute(spoil.encode())

    with caplog.at_level(logging.ERROR), pytest.raises(rating_steps.WrongTotals):
        rerating.work(books, run_id)

    assert "failed" == state(books, run_id)[0]
    assert "the nightly check failed" in caplog.messages
    assert {"passed": 0, "failed": 1} == figures(books)
    assert rating_jobs.next_run(books.ingest) is None


def test_a_check_changes_nothing(books: Books) -> None:
    run_id = checked(books)
    books.owner.execute("update charge set billed_cost = 7")
    charges = books.sql("select * from charge order by event_id")

    with pytest.raises(rating_steps.WrongTotals):
        rerating.work(books, run_id)

    assert charges == books.sql("select * from charge order by event_id")


def test_each_day_is_checked_once_and_only_where_there_were_calls(books: Books) -> None:
    run_id = checked(books)
    books.workspace()

    assert 0 == nightly.order(books.ingest, NIGHT + timedelta(hours=1))

    rerating.work(books, run_id)
    assert 0 == nightly.order(books.ingest, NIGHT + timedelta(hours=2))
    assert 1 == len(books.sql("select * from rating_run"))


def test_two_workers_that_order_at_once_order_one_check(books: Books, fresh_database: Any) -> None:
    books.put(call(books.workspace(), at=YESTERDAY))
    books.take()

    with jobs.connect(fresh_database.ingest_url) as other:
        ordered = [nightly.order(one, NIGHT) for one in (books.ingest, other)]

    assert [1, 0] == ordered


@pytest.mark.parametrize(
    ("timezone", "now", "start", "end"),
    [
        ("Asia/Kathmandu", "2026-11-09T20:14:59Z", "2026-11-07T18:15Z", "2026-11-08T18:15Z"),
        ("Asia/Kathmandu", "2026-11-09T20:15:00Z", "2026-11-08T18:15Z", "2026-11-09T18:15Z"),
        ("Pacific/Kiritimati", "2026-11-10T12:00:00Z", "2026-11-09T10:00Z", "2026-11-10T10:00Z"),
        ("Europe/Berlin", "2026-10-26T02:00:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
    ],
)
def test_yesterday_is_the_workspaces_own_and_has_ended_two_hours_ago(
    timezone: str, now: str, start: str, end: str
) -> None:
    found = nightly.yesterday(zone(timezone), datetime.fromisoformat(now))

    assert (datetime.fromisoformat(start), datetime.fromisoformat(end)) == found
