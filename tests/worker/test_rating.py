"""The worker as it really runs: recomputes are gone on with, and yesterday is checked, while calls are taken."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.billing import nightly
from app.units import bucket_of, new_id, utc_now, zone
from tests.billing.books import call, recent
from tests.gateway_process import eventually
from tests.worker.running import Running

DAYS = 3


@pytest.fixture
def running(fresh_database: Any, tmp_path: Path) -> Iterator[Running]:
    running = Running(fresh_database, tmp_path)
    yield running
    running.stop()


def used(running: Running, at: datetime, days: int = 1) -> tuple[UUID, UUID]:
    """A workspace with a priced call on each of some days."""
    books, model_id = running.books, new_id()
    workspace_id = books.workspace()
    books.price(model_id, input="1", output="1")
    books.put(*(call(workspace_id, at=at + timedelta(days=day), model_id=model_id) for day in range(days)))
    running.drained(days)
    return workspace_id, model_id


def order(running: Running, workspace_id: UUID, since: datetime) -> UUID:
    run_id = new_id()
    running.books.owner.execute(
        "insert into rating_run (workspace_id, run_id, kind, since, until, reason) values (%s, %s, 'apply', %s, %s, 'r')",
        [workspace_id, run_id, since, since + timedelta(days=DAYS)],
    )
    return run_id


def runs(running: Running) -> list[tuple[str, str]]:
    return [(row["kind"], row["state"]) for row in running.books.sql("select kind, state from rating_run")]


def test_a_recompute_goes_on_to_its_end_while_calls_are_taken(running: Running) -> None:
    books, since = running.books, datetime.combine(utc_now() - timedelta(days=9), datetime.min.time(), UTC)
    workspace_id, model_id = used(running, since + timedelta(hours=12), DAYS)
    books.owner.execute("update price set unit_price = 2 where subject_id = %s", [model_id])

    order(running, workspace_id, since)
    books.put(call(workspace_id, at=recent()))

    eventually(lambda: runs(running) == [("apply", "done")], 30)
    running.drained(DAYS + 1)
    costs = [row["billed_cost"] for row in books.rows()]
    assert [Decimal("0.00022")] * DAYS + [None] == costs
    assert books.rollups_from_rows() == books.rollups()


def test_a_recompute_is_gone_on_with_by_the_next_job_when_its_own_is_killed(running: Running) -> None:
    books, since = running.books, datetime.combine(utc_now() - timedelta(days=9), datetime.min.time(), UTC)
    workspace_id, model_id = used(running, since + timedelta(hours=12), DAYS)
    books.owner.execute("update price set unit_price = 2 where subject_id = %s", [model_id])

    with books.owner.transaction():
        books.owner.execute("lock table charge in share row exclusive mode")
        order(running, workspace_id, since)
    with books.owner.transaction():
        books.owner.execute("lock table charge in share row exclusive mode")
        eventually(lambda: running.is_blocked() or runs(running) == [("apply", "done")])
        running.long_horse().kill()

    eventually(lambda: runs(running) == [("apply", "done")], 30)
    assert [Decimal("0.00022")] * DAYS == [row["billed_cost"] for row in books.rows()]
    assert books.rollups_from_rows() == books.rollups()


def test_usage_is_taken_while_a_recompute_cannot_go_on(running: Running) -> None:
    """A long day of one workspace keeps the calls of its own bucket waiting, and nobody else's."""
    books, since = running.books, datetime.combine(utc_now() - timedelta(days=9), datetime.min.time(), UTC)
    workspace_id, model_id = used(running, since + timedelta(hours=12), DAYS)
    books.owner.execute("update price set unit_price = 2 where subject_id = %s", [model_id])
    other = next(one for one in iter(books.workspace, None) if bucket_of(one) != bucket_of(workspace_id))

    with psycopg.connect(running.database.owner_url) as holder:
        holder.execute("select from charge where workspace_id = %s for update", [workspace_id])
        order(running, workspace_id, since)
        eventually(running.is_blocked, 30)
        books.put(call(other, at=recent()))
        running.drained(DAYS + 1)
        assert [("apply", "running")] == runs(running)

    eventually(lambda: runs(running) == [("apply", "done")], 30)


@pytest.mark.parametrize(("tampered", "outcome"), [(False, "passed"), (True, "failed")])
def test_yesterday_is_checked_without_anybody_asking(running: Running, tampered: bool, outcome: str) -> None:
    books = running.books
    start, _ = nightly.yesterday(zone("UTC"), utc_now())
    used(running, start + timedelta(hours=12))
    if tampered:
        books.owner.execute("update charge set billed_cost = billed_cost + 0.000000000001")
    running.process.terminate()
    running.process.wait(15)

    running.start()

    counted = eventually(lambda: books.redis.hget("gateway:checks", outcome), 30)
    assert b"1" == counted
    assert [("check", "failed" if tampered else "done")] == runs(running)
    assert tampered == ('"message":"the nightly check failed"' in running.log.read_text())
