"""Recomputes: a dry run shows, an applied one replaces; both are cut into days, and end where they are told to."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from rq import Queue
from rq.serializers import JSONSerializer

from app.billing import ingest, jobs, rating_jobs, rating_runs, rating_steps, rollups
from app.extensions import LEDGER_QUEUE
from app.units import bucket_of, new_id
from app.worker.children import JobWorker
from app.workspace.names import Invalid, NotFound
from tests.billing import rerating
from tests.billing.books import NOON, Books, call
from tests.billing.rerating import END, START, billed, dry_run, recompute, reprice

pytestmark = pytest.mark.usefixtures("app")
OLD: dict[str, Any] = {"input": "1", "output": "2"}
NEW: dict[str, Any] = {"input": "3", "output": "4"}
BEFORE, AFTER = Decimal("0.000210"), Decimal("0.000430")
"""What ten tokens in and a hundred out cost by these."""


def ledger(books: Books) -> list[dict[str, Any]]:
    return books.sql("select * from charge order by occurred_at, event_id")


def repriced(books: Books, calls: int = 3, timezone: str = "UTC", **changes: Any) -> Any:
    """A workspace with a call a day by the old prices, which have been the new ones all the time."""
    workspace_id, model_id = books.workspace(timezone), new_id()
    books.price(model_id, **OLD)
    books.put(*(call(workspace_id, at=at, model_id=model_id, **changes) for at in rerating.days(calls)))
    books.take()
    reprice(books, model_id, **NEW)
    return workspace_id


def test_a_dry_run_shows_the_difference_for_each_application_and_changes_nothing(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    mine, theirs = new_id(), new_id()
    books.price(model_id, **OLD)
    books.put(*(call(workspace_id, model_id=model_id, application_id=one) for one in (mine, mine, theirs)))
    books.put(call(workspace_id, application_id=None))
    books.take()
    reprice(books, model_id, **NEW)
    charges, sums = ledger(books), books.rollups()

    run = dry_run(books, workspace_id)

    found = {one.application_id: one for one in rating_runs.deltas(workspace_id, run.run_id)}
    assert {mine: 2, theirs: 1, rollups.NO_APPLICATION: 1} == {one: delta.calls for one, delta in found.items()}
    assert (2 * BEFORE, 2 * AFTER) == (found[mine].before, found[mine].after)
    nobody = found[rollups.NO_APPLICATION]
    assert (Decimal(0), Decimal(0)) == (nobody.before, nobody.after)
    assert (1, 1) == (nobody.unpriced_before, nobody.unpriced_after)
    assert ("done", 3, 4, 3 * (AFTER - BEFORE)) == (run.state, run.changed, run.calls_done, run.delta)
    assert (charges, sums) == (ledger(books), books.rollups())


def test_an_applied_run_replaces_the_charges_and_keeps_the_sums_exact(books: Books) -> None:
    workspace_id = repriced(books)
    theirs = repriced(books)

    run = recompute(books, workspace_id)

    assert ("done", 3, 3) == (run.state, run.calls_done, run.changed)
    assert [AFTER] * 3 == billed(books, workspace_id)
    assert [BEFORE] * 3 == billed(books, theirs)
    assert {run.run_id, None} == {row["run_id"] for row in ledger(books)}
    assert books.rollups_from_rows() == books.rollups()


def test_what_has_been_recomputed_is_not_changed_again(books: Books) -> None:
    workspace_id = repriced(books)
    recompute(books, workspace_id)
    charges = ledger(books)

    again = dry_run(books, workspace_id)

    assert (0, Decimal(0)) == (again.changed, again.delta)
    recompute(books, workspace_id)
    assert charges == ledger(books)


def test_only_a_dry_run_that_has_ended_can_be_applied(books: Books) -> None:
    workspace_id = repriced(books, 1)
    waiting = rating_runs.try_out(workspace_id, START, END, "new prices", run_id=new_id())
    done = recompute(books, workspace_id).run_id
    nothing = dry_run(books, workspace_id, END, END + timedelta(days=1)).run_id

    for run_id in (waiting, done, nothing):
        with pytest.raises(Invalid, match="no dry run"):
            rating_runs.apply(workspace_id, run_id, run_id=new_id())

    assert ["apply"] == [one.kind for one in rating_runs.listed(workspace_id) if one.kind == "apply"]


def test_unpriced_calls_get_their_first_price_and_priced_ones_lose_theirs(books: Books) -> None:
    workspace_id, gains, loses = books.workspace("Asia/Kathmandu"), new_id(), new_id()
    books.price(loses, **OLD)
    books.put(call(workspace_id, at=NOON, model_id=gains), call(workspace_id, at=NOON + timedelta(1), model_id=loses))
    books.take()
    assert [None, BEFORE] == billed(books, workspace_id)
    books.owner.execute("delete from price where subject_id = %s", [loses])
    books.price(gains, **NEW)

    recompute(books, workspace_id)

    assert [AFTER, None] == billed(books, workspace_id)
    assert books.rollups_from_rows() == books.rollups()


def test_only_the_days_and_the_model_that_are_asked_for_are_recomputed(books: Books) -> None:
    workspace_id, model_id, other = books.workspace("Asia/Kolkata"), new_id(), new_id()
    first, last = datetime(2026, 11, 4, 18, 30, tzinfo=UTC), datetime(2026, 11, 6, 18, 30, tzinfo=UTC)
    tick = timedelta(milliseconds=1)
    for subject in (model_id, other):
        books.price(subject, **OLD)
    instants = [first - tick, first, last - tick, last]
    books.put(
        *(call(workspace_id, at=at, model_id=model_id) for at in instants),
        call(workspace_id, at=first + tick, model_id=other),
    )
    books.take()
    for subject in (model_id, other):
        reprice(books, subject, **NEW)

    recompute(books, workspace_id, first, last, model_id=model_id)

    assert [BEFORE, AFTER, BEFORE, AFTER, BEFORE] == billed(books, workspace_id)
    assert books.rollups_from_rows() == books.rollups()


def test_each_day_is_a_step_and_a_run_goes_on_where_it_was_cut_off(books: Books) -> None:
    workspace_id = repriced(books, 4)
    run_id = rating_runs.apply(workspace_id, dry_run(books, workspace_id).run_id, run_id=new_id())
    for _ in range(3):
        rating_jobs.work(books.ingest, books.redis, run_id)
    assert [AFTER, AFTER, BEFORE, BEFORE] == billed(books, workspace_id)
    assert ("running", 2) == (
        rating_runs.get(workspace_id, run_id).state,
        rating_runs.get(workspace_id, run_id).calls_done,
    )
    assert books.rollups_from_rows() == books.rollups()

    rerating.work(books, run_id)

    run = rating_runs.get(workspace_id, run_id)
    assert ("done", 4, 4 * (AFTER - BEFORE)) == (run.state, run.calls_done, run.delta)
    assert 4 == sum(one.calls for one in rating_runs.deltas(workspace_id, run_id))
    assert [AFTER] * 4 == billed(books, workspace_id)


def test_a_step_that_dies_is_undone_and_done_again(books: Books) -> None:
    workspace_id = repriced(books, 2)
    run_id = rating_runs.apply(workspace_id, dry_run(books, workspace_id).run_id, run_id=new_id())
    rating_jobs.work(books.ingest, books.redis, run_id)
    with books.ingest.transaction(force_rollback=True):
        rating_jobs.work(books.ingest, books.redis, run_id)
    assert [BEFORE, BEFORE] == billed(books, workspace_id)

    rerating.work(books, run_id)

    assert [AFTER, AFTER] == billed(books, workspace_id)
    assert 2 == rating_runs.get(workspace_id, run_id).calls_done
    assert books.rollups_from_rows() == books.rollups()


def test_a_cancelled_run_stops_and_what_it_has_done_stays(books: Books) -> None:
    workspace_id = repriced(books, 3)
    run_id = rating_runs.apply(workspace_id, dry_run(books, workspace_id).run_id, run_id=new_id())
    for _ in range(2):
        rating_jobs.work(books.ingest, books.redis, run_id)

    rating_runs.cancel(workspace_id, run_id, now=END)

    assert not rating_jobs.work(books.ingest, books.redis, run_id)
    assert [AFTER, BEFORE, BEFORE] == billed(books, workspace_id)
    assert "cancelled" == rating_runs.get(workspace_id, run_id).state
    assert books.rollups_from_rows() == books.rollups()
    with pytest.raises(Invalid, match="has ended"):
        rating_runs.cancel(workspace_id, run_id, now=END)


def test_a_day_that_was_going_when_the_run_was_cancelled_is_undone(books: Books) -> None:
    workspace_id = repriced(books, 2)
    run_id = rating_runs.apply(workspace_id, dry_run(books, workspace_id).run_id, run_id=new_id())
    rating_jobs.work(books.ingest, books.redis, run_id)
    as_it_was = rating_steps.read(books.ingest, run_id)
    rating_runs.cancel(workspace_id, run_id, now=END)

    with pytest.raises(rating_steps.Overtaken):
        rating_steps.step(books.ingest, as_it_was, now=END)

    assert [BEFORE, BEFORE] == billed(books, workspace_id)
    assert [] == rating_runs.deltas(workspace_id, run_id)


def test_a_run_waits_while_ingest_has_the_ledger(books: Books, fresh_database: Any) -> None:
    workspace_id = repriced(books, 1)
    run_id = rating_runs.apply(workspace_id, dry_run(books, workspace_id).run_id, run_id=new_id())
    rating_jobs.work(books.ingest, books.redis, run_id)

    with jobs.connect(fresh_database.ingest_url) as other, other.transaction():
        assert ingest.lock(other, bucket_of(workspace_id))
        assert not rating_jobs.work(books.ingest, books.redis, run_id)

    assert [BEFORE] == billed(books, workspace_id)
    rerating.work(books, run_id)
    assert [AFTER] == billed(books, workspace_id)


def test_two_recomputes_of_a_workspace_never_go_at_once(books: Books) -> None:
    workspace_id = repriced(books, 1)
    shown = dry_run(books, workspace_id).run_id
    run_id = rating_runs.apply(workspace_id, shown, run_id=new_id())

    with pytest.raises(Invalid, match="must wait"):
        rating_runs.apply(workspace_id, shown, run_id=new_id())

    assert run_id == rating_runs.apply(workspace_id, shown, run_id=run_id)


def test_another_workspaces_run_is_not_there(books: Books) -> None:
    mine, theirs = repriced(books, 1), books.workspace()
    run_id = dry_run(books, mine).run_id

    for act in (rating_runs.get, lambda *of: rating_runs.apply(*of, run_id=new_id())):
        with pytest.raises(NotFound):
            act(theirs, run_id)
    with pytest.raises(NotFound):
        rating_runs.cancel(theirs, run_id, now=END)

    assert [] == rating_runs.deltas(theirs, run_id)


@pytest.mark.usefixtures("environment")
def test_bc_102_a_job_recomputes_its_own_workspace_and_one_without_a_run_fails_visibly(books: Books) -> None:
    mine, theirs = repriced(books, 3), repriced(books, 1)
    queue = Queue(LEDGER_QUEUE, connection=books.redis, serializer=JSONSerializer, job_class=jobs.OurJob)
    run_id = rating_runs.apply(mine, dry_run(books, mine).run_id, run_id=new_id())
    assert run_id == rating_jobs.next_run(books.ingest)

    assert [True, False] == [rating_jobs.enqueue(queue, run_id) for _ in range(2)]
    queue.enqueue(rating_jobs.RUN, str(new_id()), result_ttl=0, failure_ttl=jobs.FAILURE_TTL_S)
    JobWorker([queue], connection=queue.connection, serializer=JSONSerializer, job_class=jobs.OurJob).work(
        burst=True, logging_level="CRITICAL"
    )

    assert ([AFTER] * 3, [BEFORE]) == (billed(books, mine), billed(books, theirs))
    assert ["LookupError"] == [one.error for one in jobs.failed(queue)]
    assert rating_jobs.next_run(books.ingest) is None


def test_orders_and_cancellations_are_in_the_audit_trail(app: Flask, books: Books) -> None:
    workspace_id = repriced(books, 1)
    shown = dry_run(books, workspace_id).run_id
    run_id = rating_runs.apply(workspace_id, shown, run_id=new_id())
    rating_runs.cancel(workspace_id, run_id, now=END)

    entries = books.sql("select action from audit_outbox where workspace_id = %s order by position", workspace_id)

    assert app
    assert ["rating.dry_run", "rating.apply", "rating.cancel"] == [entry["action"] for entry in entries]


def test_a_run_over_calls_past_their_retention_is_refused(books: Books) -> None:
    workspace_id = repriced(books)
    shown = dry_run(books, workspace_id).run_id
    books.owner.execute("insert into retention_mark values ('ledger', '2026-11-01')")
    tick, kept = timedelta(milliseconds=1), rating_runs.apply(workspace_id, shown, run_id=new_id())
    rating_runs.cancel(workspace_id, kept, now=END)

    for since, until in ((START - timedelta(days=2), START - timedelta(days=1)), (START - tick, END)):
        with pytest.raises(Invalid, match="calls before 2026-11-01 00:00 UTC are past their retention") as refused:
            rating_runs.try_out(workspace_id, since, until, "new prices", run_id=new_id())
        assert "from" == refused.value.field

    assert "done" == dry_run(books, workspace_id).state
    books.owner.execute("update retention_mark set month = '2026-12-01'")
    with pytest.raises(Invalid, match="past their retention"):
        rating_runs.apply(workspace_id, shown, run_id=new_id())
    assert 3 == len(rating_runs.listed(workspace_id))


def test_a_run_needs_a_reason_and_days_in_order(books: Books) -> None:
    workspace_id = books.workspace()

    for since, until, reason in ((START, END, ""), (END, START, "a reason")):
        with pytest.raises(Invalid):
            rating_runs.try_out(workspace_id, since, until, reason, run_id=new_id())

    assert [] == rating_runs.listed(workspace_id)
