"""The worker's processes: killed, frozen, cut off; nothing is lost and nothing counted twice."""

import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.billing.events import SETTLED, encode
from app.gateway import intents
from app.units import bucket_of, bucket_tag, new_id
from deploy.local import embedded
from tests.billing.books import call, recent
from tests.gateway_process import eventually
from tests.worker.running import Running, is_gone


@pytest.fixture
def running(fresh_database: Any, tmp_path: Path) -> Iterator[Running]:
    running = Running(fresh_database, tmp_path)
    yield running
    running.stop()


def test_a_call_is_in_the_ledger_within_a_second(running: Running) -> None:
    workspace_id = running.books.workspace()
    waits = []

    for number in range(5):
        started = time.monotonic()
        running.books.put(call(workspace_id))
        running.drained(number + 1)
        waits.append(time.monotonic() - started)

    assert max(waits) < 2
    assert sorted(waits)[2] < 1


def test_kill_9_of_the_rq_worker_and_its_horse_twice_costs_nothing(running: Running) -> None:
    books = running.books
    workspace_id, model_id = books.workspace("Asia/Kathmandu"), new_id()
    books.price(model_id, input="0.15", output="0.60")

    for _ in range(2):
        with books.owner.transaction():
            books.owner.execute("lock table usage_event in share row exclusive mode")
            books.put(*(call(workspace_id, at=recent(), model_id=model_id) for _ in range(500)))
            eventually(running.is_blocked)
            child, horse = running.child(), running.horse()
            child.kill()
            horse.kill()
    running.drained(1000)
    eventually(lambda: not books.redis.xlen(f"{bucket_tag(bucket_of(workspace_id))}:usage"))

    assert 1000 == len(books.rows())
    assert 1000 * (10 * Decimal("0.15") + 100 * Decimal("0.60")) / 1_000_000 == sum(
        r["billed_cost"] for r in books.rows()
    )
    assert books.rollups_from_rows() == books.rollups()


def test_the_child_comes_back_after_kill_9(running: Running) -> None:
    first = running.child()

    first.kill()

    eventually(lambda: [p for p in psutil.Process(running.process.pid).children() if p.pid != first.pid])
    running.books.put(call(running.books.workspace()))
    running.drained(1)


def test_the_child_does_not_outlive_a_killed_worker(running: Running) -> None:
    child = running.child()

    running.process.kill()
    running.process.wait()

    eventually(lambda: is_gone(child))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_everything_in_time(running: Running, number: signal.Signals) -> None:
    child = running.child()

    running.process.send_signal(number)

    assert 0 == running.process.wait(10)
    assert is_gone(child)


def test_a_stop_in_the_middle_of_a_job_loses_nothing(running: Running) -> None:
    books = running.books
    workspace_id = books.workspace()
    with books.owner.transaction():
        books.owner.execute("lock table usage_event in share row exclusive mode")
        books.put(*(call(workspace_id) for _ in range(5000)))
        eventually(running.is_blocked)
        running.process.send_signal(signal.SIGTERM)
        eventually(running.is_told_to_stop)
    assert 0 == running.process.wait(10)

    assert 2000 == len(books.rows())
    running.start()
    running.drained(5000)
    assert 5000 == len(books.rows())
    assert books.rollups_from_rows() == books.rollups()


def test_a_stop_while_the_database_hangs_still_ends_in_time(running: Running) -> None:
    books = running.books
    with books.owner.transaction():
        books.owner.execute("lock table usage_event in share row exclusive mode")
        books.put(call(books.workspace()))
        eventually(running.is_blocked)
        horse = running.horse()
        running.process.send_signal(signal.SIGTERM)
        assert 0 == running.process.wait(10)
        eventually(lambda: is_gone(horse))

    running.start()
    running.drained(1)
    assert 1 == len(books.rows())


def test_usage_waits_while_postgresql_is_away(running: Running, servers: Any) -> None:
    books = running.books
    running.books.put(call(books.workspace()))
    running.drained(1)
    events = [call(books.workspace()) for _ in range(20)]
    books.owner.close()

    with servers.away(running.database):
        books.put(*events)
        eventually(lambda: '"message":"repeating revisions fails"' in running.log.read_text())
        assert running.process.poll() is None

    books.owner = type(books.owner).connect(running.database.owner_url, autocommit=True, row_factory=_dict_row())
    running.drained(21)
    assert books.rollups_from_rows() == books.rollups()
    eventually(lambda: '"message":"repeating revisions works again"' in running.log.read_text())
    assert 1 == running.log.read_text().count('"message":"repeating revisions fails"')


def test_the_worker_survives_redis_away(running: Running) -> None:
    books = running.books
    port = int(running.valkey.url.rsplit(":", 1)[1].split("/")[0])
    books.put(call(books.workspace()))
    running.drained(1)

    running.valkey.process.kill()
    running.valkey.process.wait()
    eventually(lambda: '"message":"the heartbeat fails"' in running.log.read_text())
    running.valkey = embedded.start_valkey(running.folder / "valkey", port)

    books.put(call(books.workspace()))
    running.drained(2, 20)
    assert books.rollups_from_rows() == books.rollups()


def test_a_lost_announcement_is_repeated(running: Running) -> None:
    running.books.owner.execute("update revision set catalogue = 70, keys = 80")

    eventually(lambda: running.books.redis.get("gateway:revisions") == b"70.80", 3)


def test_the_heartbeat_is_fresh_and_ends_with_the_worker(running: Running) -> None:
    beat = running.books.redis.get("gateway:worker")

    assert beat is not None
    assert abs(time.time() - int(beat)) < 10
    assert 0 < running.books.redis.ttl("gateway:worker") <= 30


def test_a_changed_time_zone_rebuilds_the_rollups_without_traffic(running: Running) -> None:
    books = running.books
    workspace_id = books.workspace("UTC")
    books.put(*(call(workspace_id, at=recent()) for _ in range(3)))
    running.drained(3)
    before = books.rollups()

    books.move(workspace_id, "Asia/Kathmandu")

    eventually(lambda: before != books.rollups(), 15)
    assert books.rollups_from_rows() == books.rollups()
    eventually(lambda: not books.redis.keys("rq:job:*"))
    books.put(call(workspace_id))
    running.drained(4)
    assert books.rollups_from_rows() == books.rollups()


def test_partitions_are_made_ahead(running: Running) -> None:
    def names() -> set[str]:
        return {row["name"] for row in running.books.sql("select relname as name from pg_class where relispartition")}

    made = sorted(name for name in names() if name.startswith("usage_event_2") and "pkey" not in name)
    running.books.owner.execute(f"drop table {next(name for name in reversed(made) if name.count('_') == 2)}")
    before = names()
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(10)

    running.start()

    eventually(lambda: names() - before)


def test_the_call_of_a_dead_process_becomes_a_provisional_row(running: Running) -> None:
    books = running.books
    event = call(books.workspace(), at=recent(), state="provisional", outcome="unsettled", usage_source="estimated")
    tag = bucket_tag(bucket_of(event.workspace_id))
    books.redis.hset(intents.intent_key(tag, event.event_id), "event", encode(event))
    books.redis.zadd(intents.intents_key(tag), {str(event.event_id): 1})

    running.drained(1)

    (row,) = books.rows()
    assert (event.event_id, "provisional") == (row["event_id"], row["state"])
    assert row["state"] != SETTLED


def test_failing_jobs_slow_the_worker_down_and_repair_brings_it_back(running: Running) -> None:
    books = running.books
    books.owner.execute("revoke insert on charge from gateway_ingest")
    books.put(*(call(books.workspace()) for _ in range(5)))
    eventually(lambda: '"message":"taking usage into the ledger fails"' in running.log.read_text())

    books.owner.execute("grant insert on charge to gateway_ingest")

    running.drained(5)
    eventually(lambda: '"message":"taking usage into the ledger works again"' in running.log.read_text(), 15)


def _dict_row() -> Any:
    from psycopg.rows import dict_row

    return dict_row
