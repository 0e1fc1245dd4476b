"""What the tests of rating runs share: a run from beginning to end as jobs do it, and prices that change in the past."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.billing import rating_jobs, rating_runs
from app.billing.rating_runs import Run
from app.units import new_id
from tests.billing.books import Books

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def work(books: Books, run_id: UUID) -> None:
    """Do all steps of a run."""
    steps = 0
    while rating_jobs.work(books.ingest, books.redis, run_id):
        steps += 1
        assert steps < 1000, "the run does not end"


def dry_run(books: Books, workspace_id: UUID, since: datetime = START, until: datetime = END, **options: Any) -> Run:
    """Order a dry run and do it."""
    run_id = rating_runs.try_out(workspace_id, since, until, "new prices", run_id=new_id(), **options)
    work(books, run_id)
    return rating_runs.get(workspace_id, run_id)


def recompute(books: Books, workspace_id: UUID, since: datetime = START, until: datetime = END, **options: Any) -> Run:
    """Order a dry run and what it shows for good, and do both."""
    shown = dry_run(books, workspace_id, since, until, **options)
    run_id = rating_runs.apply(workspace_id, shown.run_id, run_id=new_id())
    work(books, run_id)
    return rating_runs.get(workspace_id, run_id)


def reprice(books: Books, subject_id: UUID, **prices: Any) -> None:
    """Have a subject's list prices always been others."""
    books.owner.execute("delete from price where subject_id = %s", [subject_id])
    books.price(subject_id, **prices)


def billed(books: Books, workspace_id: UUID) -> list[Decimal | None]:
    """What each call is billed, in the order of the calls."""
    return [row["billed_cost"] for row in books.rows() if row["workspace_id"] == workspace_id]


def days(count: int) -> list[datetime]:
    """Noon of some days of November."""
    return [START + timedelta(days=day, hours=12) for day in range(count)]
