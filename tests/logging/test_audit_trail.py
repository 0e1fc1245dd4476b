"""The audit trail's end: each entry once, in order, numbered without a gap, whatever happens to the worker."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from psycopg.types.json import Jsonb
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from app.billing import jobs
from app.extensions import LEDGER_QUEUE, transaction
from app.logging import audit, masking, trail
from app.units import PLATFORM_ID, utc_now
from app.worker.children import JobWorker
from app.workspace import workspaces
from tests.billing.books import call
from tests.factories import unique
from tests.gateway_process import eventually
from tests.logging.trail_books import Trail, note
from tests.worker.running import Running

SECRET = "Zq7Xw0Lk9Vb3Nn5Tt1"
ROLES = ("gateway_app", "gateway_ingest", "gateway_reader")


@pytest.mark.usefixtures("job_settings")
def test_a_real_worker_moves_what_waits_and_leaves_nothing_in_redis(
    app: Flask, trail_books: Trail, redis_url: str
) -> None:
    note(PLATFORM_ID, *"abc", after={"x": 1})
    with Redis.from_url(redis_url) as redis:
        queue = Queue(LEDGER_QUEUE, connection=redis, serializer=JSONSerializer, job_class=jobs.OurJob)
        jobs.enqueue(queue, trail.write)
        (job,) = queue.jobs
        worker = JobWorker([queue], connection=redis, serializer=JSONSerializer, job_class=jobs.OurJob)
        worker.work(burst=True, logging_level="CRITICAL")

        assert (trail.JOB, [], {}) == (job.func_name, job.args, job.kwargs)
        assert [] == list(redis.scan_iter("rq:job:*"))
    assert app
    assert [] == trail_books.outbox()
    assert [("a", 1), ("b", 2), ("c", 3)] == [(e["object_name"], e["seq"]) for e in trail_books.events()]


@pytest.mark.usefixtures("job_settings")
def test_an_entry_is_the_same_before_and_after(app: Flask, trail_books: Trail) -> None:
    jane = {"id": "7", "role": "admin", "ip": "192.0.2.7", "user_agent": "Browser/1", "request_id": "r"}
    with audit.acting(audit.Actor(kind="person", name="jane@example.test", **jane)):
        note(PLATFORM_ID, "x", before={"a": [1, {"b": None}]}, after={"a": "é😀"}, outcome="failed", reason="because")
    (waiting,) = trail_books.outbox()

    trail.write()

    (kept,) = trail_books.events()
    assert app
    assert {name: waiting[name] for name in trail.COLUMNS} == {name: kept[name] for name in trail.COLUMNS}


@pytest.mark.usefixtures("app", "job_settings")
@pytest.mark.parametrize(
    "fields", [{"before": {"a": 1}, "after": {}}, {"before": {}, "after": {"a": 1}}, {"after": {}}]
)
def test_a_side_without_fields_is_moved_like_any_other(trail_books: Trail, fields: dict[str, Any]) -> None:
    note(PLATFORM_ID, "x", **fields)

    trail.write()

    (kept,) = trail_books.events()
    assert [] == trail_books.outbox()
    assert {"before": None, "after": None} | fields == {name: kept[name] for name in ("before", "after")}


@pytest.mark.usefixtures("job_settings")
def test_each_workspace_counts_for_itself_and_in_the_order_of_its_changes(app: Flask, trail_books: Trail) -> None:
    first, second = (workspaces.create(unique("acme")) for _ in range(2))
    for number in range(3):
        note(first, f"{number}a", f"{number}b")
        note(second, f"{number}")
        trail.write()

    assert app
    assert ["0a", "0b", "1a", "1b", "2a", "2b"] == [e["object_name"] for e in trail_books.events(first)][1:]
    assert [1, 2, 3, 4, 5, 6, 7] == trail_books.numbers(first)
    assert [1, 2, 3, 4] == trail_books.numbers(second)


@pytest.mark.usefixtures("job_settings")
def test_several_entries_of_one_transaction_keep_their_order_over_many_batches(app: Flask, trail_books: Trail) -> None:
    names = [f"{number:04}" for number in range(2 * trail.BATCH + 7)]
    with transaction(PLATFORM_ID):
        for name in names:
            audit.record("key.update", kind="key", id="1", name=name)

    trail.write()

    assert app
    assert names == [event["object_name"] for event in trail_books.events()]
    assert list(range(1, len(names) + 1)) == trail_books.numbers(PLATFORM_ID)


@pytest.mark.usefixtures("job_settings")
@pytest.mark.parametrize("table", ["audit_event", "audit_counter"])
def test_a_crash_after_the_outbox_was_emptied_loses_and_doubles_nothing(
    app: Flask, trail_books: Trail, table: str
) -> None:
    note(PLATFORM_ID, "first")
    trail.write()
    note(PLATFORM_ID, *"abcde")
    failed: list[psycopg.Error] = []

    with trail_books.owner.transaction():
        # Once the job waits for this table, the outbox is empty in its transaction.
        trail_books.owner.execute(f"lock table {table} in access exclusive mode")
        job = threading.Thread(target=_write, args=[failed])
        job.start()
        pid = eventually(lambda: _blocked(trail_books))
        with psycopg.connect(trail_books.database.owner_url, autocommit=True) as killer:
            killer.execute("select pg_terminate_backend(%s)", [pid])
    job.join(20)

    assert isinstance(failed[0], psycopg.OperationalError)
    assert 5 == len(trail_books.outbox())
    trail.write()
    assert app
    assert ["first", *"abcde"] == [event["object_name"] for event in trail_books.events()]
    assert [1, 2, 3, 4, 5, 6] == trail_books.numbers(PLATFORM_ID)


@pytest.mark.usefixtures("job_settings")
def test_many_jobs_and_many_changes_at_once_keep_each_entry_once_without_a_gap(app: Flask, trail_books: Trail) -> None:
    first, second = (workspaces.create(unique("acme")) for _ in range(2))
    over = threading.Event()

    def change(word: str) -> None:
        with app.app_context():
            for number in range(60):
                note(first, f"{word}{number}")
                note(second, f"{word}{number}")

    def take() -> None:
        while not over.is_set():
            trail.write()

    with _together([take] * 3):
        with _together([partial(change, word) for word in "abc"]):
            pass
        over.set()
    trail.write()

    assert [] == trail_books.outbox()
    for workspace_id in (first, second):
        names = [event["object_name"] for event in trail_books.events(workspace_id)][1:]
        assert list(range(1, 182)) == trail_books.numbers(workspace_id)
        assert [f"{word}{number}" for word in "abc" for number in range(60)] == sorted(names, key=lambda name: name[0])


@pytest.mark.usefixtures("job_settings")
def test_bc_079_the_worker_masks_again(app: Flask, trail_books: Trail) -> None:
    note(PLATFORM_ID, "x")
    raw = {"api_key": SECRET, "list": [{"password": SECRET}], "text": f"Bearer {SECRET}"}
    key = f"gw_abcd1234_{SECRET}_a1B2c3"
    trail_books.owner.execute(
        "update audit_outbox set before = %s, after = %s, object_name = %s, user_agent = %s, reason = %s",
        [Jsonb(raw), Jsonb(raw), key, key, key],
    )

    trail.write()

    (row,) = trail_books.sql("select audit_event::text as row from audit_event")
    assert app
    assert SECRET not in row["row"]
    assert 9 <= row["row"].count(masking.HIDDEN)


@pytest.mark.usefixtures("job_settings")
def test_a_workspace_that_fails_does_not_stop_the_others_and_shows(app: Flask, trail_books: Trail) -> None:
    good, bad = (workspaces.create(unique("acme")) for _ in range(2))
    trail_books.owner.execute(
        f"""create function refuse() returns trigger language plpgsql as $$
            begin if new.workspace_id = '{bad}' then raise exception 'broken'; end if; return new; end $$"""
    )
    trail_books.owner.execute(
        "create trigger refuse before insert on audit_event for each row execute function refuse()"
    )

    with pytest.raises(psycopg.errors.RaiseException):
        trail.write()

    assert app
    assert [1] == trail_books.numbers(good)
    assert [bad] == [entry["workspace_id"] for entry in trail_books.outbox()]
    trail_books.owner.execute("drop trigger refuse on audit_event")
    trail.write()
    assert [1] == trail_books.numbers(bad)


@pytest.mark.usefixtures("job_settings")
def test_entries_lie_in_the_partition_of_their_month(app: Flask, trail_books: Trail) -> None:
    note(PLATFORM_ID, "x")

    trail.write()

    (row,) = trail_books.sql("select tableoid::regclass::text as partition from audit_event")
    assert app
    assert utc_now().strftime("audit_event_%Y%m") == row["partition"]


@pytest.mark.usefixtures("job_settings")
def test_a_month_without_a_partition_is_no_reason_to_lose_an_entry(app: Flask, trail_books: Trail) -> None:
    note(PLATFORM_ID, "x")
    trail_books.owner.execute("update audit_outbox set occurred_at = '2051-03-04T05:06:07Z'")

    trail.write()

    (row,) = trail_books.sql("select tableoid::regclass::text as partition from audit_event")
    assert app
    assert "audit_event_default" == row["partition"]


def test_partitions_are_made_with_those_of_the_ledger(app: Flask, trail_books: Trail) -> None:
    with trail_books.ingest() as ingest:
        ingest.execute("select ensure_partitions('2031-01-01', 2)")

    found = {row["name"] for row in trail_books.sql("select relname as name from pg_class where relispartition")}
    assert app
    assert {f"{table}_20310{month}" for table in ("usage_event", "charge", "audit_event") for month in (1, 2)} <= found


@pytest.mark.parametrize("verb", ["update", "delete", "truncate"])
@pytest.mark.parametrize("role", ROLES)
def test_nobody_but_the_owner_changes_the_trail(trail_books: Trail, role: str, verb: str) -> None:
    for table in ("audit_event", f"audit_event_{utc_now():%Y%m}", "audit_event_default"):
        (row,) = trail_books.sql("select has_any_column_privilege(%s, %s, 'update') as columns", role, table)
        (whole,) = trail_books.sql("select has_table_privilege(%s, %s, %s) as may", role, table, verb)
        assert (False, False) == (row["columns"], whole["may"])


def test_only_the_worker_takes_from_the_outbox_and_only_the_app_writes_it(trail_books: Trail) -> None:
    may = {
        (role, verb): trail_books.sql("select has_table_privilege(%s, 'audit_outbox', %s) as may", role, verb)[0]["may"]
        for role in ROLES
        for verb in ("insert", "update", "delete", "truncate")
    }

    assert {("gateway_app", "insert"), ("gateway_ingest", "delete")} == {place for place, given in may.items() if given}


def test_the_app_can_neither_number_nor_see_the_numbers_of_others(app: Flask, trail_books: Trail) -> None:
    mine, theirs = (workspaces.create(unique("acme")) for _ in range(2))
    with trail_books.ingest() as ingest:
        trail.take_all(ingest)

    assert app
    with psycopg.connect(trail_books.database.app_url, autocommit=True) as tenant:
        for table in ("audit_event", "audit_counter"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                tenant.execute(f"insert into {table} select * from {table}")
        with tenant.transaction():
            tenant.execute("select set_config('app.workspace_id', %s, true)", [str(mine)])
            assert [(mine,)] == tenant.execute("select workspace_id from audit_event").fetchall()
            with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant.transaction():
                tenant.execute("update audit_event set actor_name = 'nobody'")
    assert theirs in [event["workspace_id"] for event in trail_books.events()]


def test_an_entry_is_numbered_within_a_second_also_while_usage_comes_in(
    app: Flask, fresh_database: Any, trail_books: Trail, tmp_path: Path
) -> None:
    running = Running(fresh_database, tmp_path)
    try:
        assert app
        waits = [_wait_for(trail_books, str(number)) for number in range(5)]
        with _traffic(running):
            waits += [_wait_for(trail_books, f"busy {number}") for number in range(5)]
    finally:
        running.stop()

    assert sorted(waits)[5] < 1
    assert max(waits) < 2
    assert list(range(1, 11)) == trail_books.numbers(PLATFORM_ID)


def test_kill_9_of_the_worker_in_the_middle_costs_nothing(
    app: Flask, fresh_database: Any, trail_books: Trail, tmp_path: Path
) -> None:
    running = Running(fresh_database, tmp_path)
    try:
        with trail_books.owner.transaction():
            trail_books.owner.execute("lock table audit_event in access exclusive mode")
            note(PLATFORM_ID, *"abcde")
            eventually(running.is_blocked)
            child, horse = running.child(), running.horse()
            child.kill()
            horse.kill()
        eventually(lambda: len(trail_books.events()) == 5, 15)
    finally:
        running.stop()

    assert app
    assert [*"abcde"] == [event["object_name"] for event in trail_books.events()]
    assert [1, 2, 3, 4, 5] == trail_books.numbers(PLATFORM_ID)


def _write(failed: list[psycopg.Error]) -> None:
    try:
        trail.write()
    except psycopg.Error as error:
        failed.append(error)


def _blocked(books: Trail) -> int | None:
    """The process that waits for a lock inside its transaction, seen from outside of ours."""
    with psycopg.connect(books.database.owner_url, autocommit=True) as outside:
        row = outside.execute(
            "select pid from pg_stat_activity where application_name = 'llm-gateway-worker'"
            " and wait_event_type = 'Lock' and datname = current_database()"
        ).fetchone()
    return row[0] if row else None


def _wait_for(books: Trail, name: str) -> float:
    started = time.monotonic()
    note(PLATFORM_ID, name)
    eventually(lambda: books.sql("select 1 as found from audit_event where object_name = %s", name))
    return time.monotonic() - started


@contextlib.contextmanager
def _traffic(running: Running) -> Iterator[None]:
    """Usage that never ends while the block runs, so that one job of the ledger goes on and on."""
    over = threading.Event()
    workspace_id = running.books.workspace()

    def send() -> None:
        while not over.wait(0.05):
            running.books.put(call(workspace_id))

    with _together([send]):
        running.drained(10)
        yield
        over.set()


@contextlib.contextmanager
def _together(works: Sequence[Callable[[], None]]) -> Iterator[None]:
    """Have all of it done at once, beside the block."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(60)
