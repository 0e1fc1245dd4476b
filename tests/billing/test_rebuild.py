"""A workspace's time zone changes: its hours move, its sums do not."""

import contextlib
import itertools
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
from sqlalchemy import event

from app.billing import jobs, rebuild, rollup_zones, usage
from app.billing.events import PROVISIONAL, UsageEvent
from app.billing.ingest import ingest
from app.extensions import LEDGER_QUEUE, db
from app.units import bucket_of, new_id
from tests.billing.books import Books, call, event_id
from tests.gateway_process import eventually

MIDDLE = datetime(2026, 4, 4, 15, 0, tzinfo=UTC)
"""Lord Howe puts its clocks back by half an hour."""
FROM_HERE = "[2026-04-04 13:05:00+00,)"
"""A price that begins within a quarter-hour: calls alike are priced and unpriced."""
ZONES = ["Asia/Kolkata", "Australia/Lord_Howe"]
Dump = dict[str, list[str]]


@pytest.mark.usefixtures("app")
def test_usage_is_exact_before_between_and_after(books: Books) -> None:
    workspace_id, key_id, model_id = books.workspace("UTC"), new_id(), new_id()
    books.price(model_id, valid=FROM_HERE, input="1.00", output="2.00")
    shared = {"key_id": key_id, "model_id": model_id}
    take(books, some_calls(workspace_id, **shared))
    assert_usage_is_exact(books, workspace_id, key_id)

    for timezone in ZONES:
        books.move(workspace_id, timezone)
        assert_usage_is_exact(books, workspace_id, key_id)
        take(books, some_calls(workspace_id, **shared))
        assert_usage_is_exact(books, workspace_id, key_id)
        assert rebuild.rebuild(workspace_id, database=books.ingest)
        assert_usage_is_exact(books, workspace_id, key_id)
        take(books, some_calls(workspace_id, **shared))
        assert_usage_is_exact(books, workspace_id, key_id)
        assert books.rollups_from_rows() == books.rollups()


@pytest.mark.usefixtures("app")
def test_usage_is_exact_when_a_rebuild_ends_in_the_middle_of_reading(books: Books) -> None:
    workspace_id, key_id = books.workspace("UTC"), new_id()
    take(books, some_calls(workspace_id, key_id=key_id))
    books.move(workspace_id, "Asia/Kolkata")
    span = {"start": MIDDLE - timedelta(hours=2), "end": MIDDLE + timedelta(hours=3)}
    expected = usage.usage_of_key(workspace_id, key_id, **span).requests
    moved: list[int | None] = []

    def meanwhile(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        if "rollup_hour_key" in statement and not moved:
            moved.append(rebuild.rebuild(workspace_id, database=books.ingest))

    event.listen(db.engine, "before_cursor_execute", meanwhile)
    found = usage.usage_of_key(workspace_id, key_id, **span).requests

    assert expected == found
    assert moved == [len(books.rows())]


def test_a_rebuild_gives_what_ingest_had_made_byte_for_byte(books: Books) -> None:
    for timezone in ("UTC", *ZONES):
        workspace_id = books.workspace(timezone)
        model_id = new_id()
        books.price(model_id, valid=FROM_HERE, input="0.000001", output="0.15")
        take(books, [*some_calls(workspace_id), *some_calls(workspace_id, model_id=model_id, application_id=new_id())])
        by_ingest = dump(books, workspace_id)

        rebuild.rebuild(workspace_id, database=books.ingest)
        assert by_ingest == dump(books, workspace_id)

        books.move(workspace_id, "Asia/Kathmandu")
        rebuild.rebuild(workspace_id, database=books.ingest)
        assert by_ingest != dump(books, workspace_id)
        books.move(workspace_id, timezone)
        rebuild.rebuild(workspace_id, database=books.ingest)
        assert by_ingest == dump(books, workspace_id)


def test_more_than_a_batch_of_sums_is_counted(books: Books) -> None:
    workspace_id, model_id, deployment_id = books.workspace("UTC"), new_id(), new_id()
    shared = {"model_id": model_id, "deployment_id": deployment_id}
    take(books, [call(workspace_id, at=MIDDLE, **shared) for _ in range(rebuild.BATCH + 100)])
    books.move(workspace_id, "Asia/Kolkata")

    assert rebuild.BATCH + 100 == rebuild.rebuild(workspace_id, database=books.ingest)

    assert books.rollups_from_rows() == books.rollups()


def test_rollups_that_are_wrong_are_put_right(books: Books) -> None:
    workspace_id = books.workspace("Asia/Kolkata")
    take(books, some_calls(workspace_id))
    right = dump(books, workspace_id)
    books.owner.execute("update rollup_hour_key set requests = requests + 1, hour_start = hour_start + interval '1 s'")
    books.owner.execute("delete from rollup_hour_app")

    rebuild.rebuild(workspace_id, database=books.ingest)

    assert right == dump(books, workspace_id)


def test_other_workspaces_are_not_touched(books: Books) -> None:
    mine, theirs = books.workspace("UTC"), books.workspace("UTC")
    take(books, [*some_calls(mine), *some_calls(theirs)])
    versions = row_versions(books, theirs)
    books.move(mine, "Asia/Kolkata")

    rebuild.rebuild(mine, database=books.ingest)

    assert versions == row_versions(books, theirs)
    assert books.rollups_from_rows() == books.rollups()


def test_ingest_of_the_bucket_waits_for_a_rebuild_and_loses_nothing(books: Books, fresh_database: Any) -> None:
    workspace_id = books.workspace("UTC")
    take(books, some_calls(workspace_id))
    books.move(workspace_id, "Asia/Kolkata")
    late = some_calls(workspace_id)
    books.put(*late)

    books.ingest.execute("set lock_timeout = '3s'")
    with rebuild_stopped_halfway(books, fresh_database, workspace_id):
        assert ingest(bucket_of(workspace_id), database=books.ingest, redis=books.redis) is None
        assert rebuild.rebuild(workspace_id, database=books.ingest) is None
        assert [workspace_id] == rollup_zones.outdated(books.ingest)
    books.take()

    assert {event.event_id for event in late} < {row["event_id"] for row in books.rows()}
    assert books.rollups_from_rows() == books.rollups()
    assert [] == rollup_zones.outdated(books.ingest)


@pytest.mark.usefixtures("environment")
def test_rebuilds_during_ingest_neither_lose_nor_double(books: Books) -> None:
    workspaces = [books.workspace("UTC") for _ in range(4)]
    calls = [call for number in range(40) for call in some_calls(workspaces[number % 4], count=25)]
    done = threading.Event()

    def drain_all() -> None:
        for start in range(0, len(calls), 100):
            books.put(*calls[start : start + 100])
            jobs.drain()
        done.set()

    drains = threading.Thread(target=drain_all)
    drains.start()
    for timezone in itertools.cycle(["UTC", *ZONES]):
        for workspace_id in workspaces:
            books.move(workspace_id, timezone)
        jobs.rebuild_outdated()
        if done.is_set():
            break
    drains.join()
    jobs.rebuild_outdated()

    assert len({call.event_id for call in calls}) == len(books.rows())
    assert books.rollups_from_rows() == books.rollups()


@pytest.mark.usefixtures("environment")
def test_one_job_rebuilds_every_workspace_that_moved_and_then_nothing(books: Books) -> None:
    queue = Queue(LEDGER_QUEUE, connection=books.redis, serializer=JSONSerializer, job_class=jobs.OurJob)
    workspaces = [books.workspace("UTC") for _ in range(3)]
    take(books, [call for workspace_id in workspaces for call in some_calls(workspace_id)])
    for workspace_id in workspaces[:2]:
        books.move(workspace_id, "Australia/Lord_Howe")

    assert sorted(workspaces[:2]) == rollup_zones.outdated(books.ingest)
    assert jobs.enqueue(queue, jobs.rebuild_outdated)
    worker = SimpleWorker([queue], connection=books.redis, serializer=JSONSerializer, job_class=jobs.OurJob)
    worker.work(burst=True, logging_level="CRITICAL")

    assert [] == rollup_zones.outdated(books.ingest)
    assert books.rollups_from_rows() == books.rollups()
    assert 0 == queue.failed_job_registry.get_job_count(cleanup=False)


@pytest.mark.usefixtures("environment")
def test_rollups_of_an_older_layout_are_rebuilt(books: Books) -> None:
    workspace_id = books.workspace("Asia/Kathmandu")
    take(books, some_calls(workspace_id))
    books.owner.execute("delete from rollup_day")
    books.owner.execute("update rollup_zone set layout = 1")

    assert [workspace_id] == rollup_zones.outdated(books.ingest)
    jobs.rebuild_outdated()

    assert [] == rollup_zones.outdated(books.ingest)
    assert books.rollups_from_rows() == books.rollups()


@pytest.mark.usefixtures("environment")
def test_a_rebuild_that_fails_changes_nothing_stops_no_other_and_shows(books: Books) -> None:
    bad, good = sorted([books.workspace("UTC"), books.workspace("UTC")])
    take(books, [*some_calls(bad), *some_calls(good)])
    before = dump(books, bad)
    books.owner.execute(
        f"""create function refuse() returns trigger language plpgsql as $$
            begin if new.workspace_id = '{bad}' then raise exception 'broken'; end if; return new; end $$"""
    )
    books.owner.execute(
        "create trigger refuse before insert on rollup_hour_model for each row execute function refuse()"
    )
    for workspace_id in (bad, good):
        books.move(workspace_id, "Asia/Kolkata")

    with pytest.raises(psycopg.errors.RaiseException):
        jobs.rebuild_outdated()

    assert [bad] == rollup_zones.outdated(books.ingest)
    assert before == dump(books, bad)


@pytest.mark.usefixtures("app")
def test_a_zone_unknown_here_counts_as_utc_everywhere(books: Books) -> None:
    workspace_id, key_id = books.workspace("Mars/Olympus_Mons"), new_id()
    take(books, some_calls(workspace_id, key_id=key_id))
    assert_usage_is_exact(books, workspace_id, key_id)

    rebuild.rebuild(workspace_id, database=books.ingest)

    assert_usage_is_exact(books, workspace_id, key_id)
    assert [] == rollup_zones.outdated(books.ingest)


def test_a_workspace_without_calls_or_without_a_row_can_be_rebuilt(books: Books) -> None:
    gone = new_id()
    take(books, some_calls(gone))
    by_ingest = dump(books, gone)

    assert 0 == rebuild.rebuild(books.workspace("Asia/Kolkata"), database=books.ingest)
    assert rebuild.rebuild(gone, database=books.ingest)
    assert by_ingest == dump(books, gone)


def some_calls(workspace_id: UUID, *, count: int = 240, **members: Any) -> list[UsageEvent]:
    """Calls of every kind over eight hours around `MIDDLE`, several alike in a quarter-hour.

    Some settle after a guess on another target, others never do.
    """
    made = []
    shared = {"key_id": new_id(), "model_id": new_id(), "deployment_id": new_id()} | members
    for number in range(count):
        at = MIDDLE + timedelta(minutes=2 * (number - count // 2), milliseconds=number)
        kind = [{}, {"outcome": "timeout"}, {"usage_source": "estimated"}, {"billable": False}][number // 4 % 4]
        named: dict[str, Any] = {"event_id": event_id(at), "application_id": None} | shared | kind
        if number % 5 == 0:
            guess = named | {"deployment_id": new_id(), "state": PROVISIONAL, "outcome": "unsettled"}
            made.append(call(workspace_id, **guess))
        if number % 10:
            made.append(call(workspace_id, **named))
    return made


def take(books: Books, calls: list[UsageEvent]) -> None:
    """Ingest guesses in a batch before the calls that replace them."""
    for state in (True, False):
        books.put(*(call for call in calls if (call.state == PROVISIONAL) is state))
        books.take()


def assert_usage_is_exact(books: Books, workspace_id: UUID, key_id: UUID) -> None:
    """Compare spans between arbitrary instants with sums over the ledger itself."""
    dice = random.Random(str(key_id))
    rows = [row for row in books.rows() if row["key_id"] == key_id]
    for number in range(40):
        step = timedelta(minutes=15) if number % 2 else timedelta(milliseconds=7919)
        reach = timedelta(hours=6) // step
        start, end = sorted(MIDDLE + step * dice.randrange(-reach, reach) for _ in range(2))
        inside = [row for row in rows if start <= row["occurred_at"] < end]
        expected = (
            len(inside),
            sum(row["output"] for row in inside),
            sum((row["billed_cost"] or Decimal(0) for row in inside), Decimal(0)),
            sum(row["billed_cost"] is None for row in inside),
            sum(row["state"] == PROVISIONAL for row in inside),
            sum(row["usage_source"] == "estimated" for row in inside),
        )
        found = usage.usage_of_key(workspace_id, key_id, start=start, end=end)
        counts = (found.unpriced, found.provisional, found.estimated)
        assert expected == (found.requests, found.tokens["output"], found.cost, *counts), (start, end)


def dump(books: Books, workspace_id: UUID) -> Dump:
    """A workspace's rollups as PostgreSQL writes them."""
    found = {}
    for table in books.rollups():
        rows = books.sql(f"select r::text as row from {table} r where workspace_id = %s order by 1", workspace_id)
        found[table] = [row["row"] for row in rows]
    return found


def row_versions(books: Books, workspace_id: UUID) -> list[dict[str, Any]]:
    """Where a workspace's rollups lie and which transaction wrote them."""
    query = "select ctid::text, xmin::text, requests from {} where workspace_id = %s order by 1"
    return [row for table in books.rollups() for row in books.sql(query.format(table), workspace_id)]


@contextlib.contextmanager
def rebuild_stopped_halfway(books: Books, database: Any, workspace_id: UUID) -> Iterator[None]:
    """A rebuild in another process that has begun, and goes on after the block."""
    with jobs.connect(database.ingest_url) as other:
        running = threading.Thread(target=rebuild.rebuild, args=[workspace_id], kwargs={"database": other})
        waits = "select wait_event_type = 'Lock' as waits from pg_stat_activity where pid = %s"
        with psycopg.connect(database.owner_url) as blocker:
            blocker.execute("lock table rollup_hour_model in share row exclusive mode")
            running.start()
            eventually(lambda: books.sql(waits, other.info.backend_pid)[0]["waits"])
            yield
        running.join()
