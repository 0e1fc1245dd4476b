"""Redis is away, full, flushed or forgetful while calls are served: every call is in the ledger, once."""

import os
import signal
import threading
from decimal import Decimal
from pathlib import Path

import httpx

from app.units import bucket_of
from tests.conftest import StartGateway
from tests.factories import Key, make_key
from tests.gateway.answers import billed, together
from tests.gateway_process import Gateway, eventually
from tests.upstream import HS, C, J, Upstream, stream, wait_for

PRICE = Decimal("0.00021")


def stop_worker(gateway: Gateway) -> None:
    gateway.worker.send_signal(signal.SIGTERM)
    assert 0 == gateway.worker.wait(15)


def spooled(gateway: Gateway) -> int:
    """What the metrics say that only the disk has."""
    page = httpx.get(gateway.metrics_url, trust_env=False).text
    (line,) = [line for line in page.splitlines() if line.startswith("gateway_settlements_spooled ")]
    return int(float(line.split()[1]))


def length(gateway: Gateway, key: Key) -> int:
    return int(gateway.redis.xlen(f"{{b{bucket_of(key.workspace_id):02}}}:usage"))


def segments(gateway: Gateway) -> list[Path]:
    return sorted((gateway.folder / "spool").glob("*/*.log"))


def test_events_beyond_the_limit_of_a_stream_wait_on_disk(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway(environment={"STREAM_LIMIT": "10"})
    key = make_key(gateway, upstream)
    stop_worker(gateway)

    assert {200} == {key.chat().status_code for _ in range(30)}

    eventually(lambda: spooled(gateway) == 20)
    assert (10, [], []) == (length(gateway, key), gateway.intents(), gateway.rows(key.key_id))
    gateway.start_worker()
    assert billed(key, calls=30) == 30 * PRICE
    eventually(lambda: spooled(gateway) == 0)


def test_what_a_flushed_redis_has_lost_is_sent_again(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway()
    key = make_key(gateway, upstream)
    assert key.chat().status_code == 200
    assert billed(key) == PRICE
    stop_worker(gateway)
    assert {200} == {key.chat().status_code for _ in range(5)}
    eventually(lambda: length(gateway, key) == 5)

    gateway.redis.flushall()
    gateway.start_worker()

    assert billed(key, calls=6) == 6 * PRICE
    assert "redis is another one" in gateway.log_text()


def test_an_open_call_leaves_its_intent_in_a_new_redis(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway()
    key, go_on = make_key(gateway, upstream), threading.Event()
    upstream.will(HS, C("a"), wait_for(go_on), *stream("b")[1:])

    with key.streaming() as answer:
        lines = answer.iter_lines()
        next(lines)
        before = eventually(gateway.intents)
        gateway.redis.flushall()
        after = eventually(gateway.intents)
        go_on.set()
        list(lines)

    assert before == after
    assert billed(key) == PRICE
    eventually(lambda: not gateway.intents())


def test_a_process_killed_while_redis_is_away_leaves_what_it_owes(
    start_gateway: StartGateway, upstream: Upstream
) -> None:
    gateway = start_gateway()
    key, go_on = make_key(gateway, upstream), threading.Event()
    upstream.always(HS, C("a"), wait_for(go_on), *stream("b")[1:])

    def call() -> None:
        key.chat(stream=True)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    upstream.wait_for_requests(4)
    eventually(lambda: len(gateway.intents()) == 4)
    with gateway.redis_killed():
        go_on.set()
        for caller in callers:
            caller.join()
        eventually(lambda: sum(path.read_bytes().count(b"\n") for path in segments(gateway)) == 4)
        (killed,) = gateway.web_workers()
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: [pid for pid in gateway.web_workers() if pid != killed])

    gateway.settled(4, key, limit_s=30)
    assert 4 * PRICE == sum(row["billed_cost"] for row in gateway.rows(key.key_id))
    eventually(lambda: not [path for path in segments(gateway) if path.parent.name.startswith(f"{killed}-")])


def test_a_stopped_process_that_owes_nothing_leaves_no_folder(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway()
    assert make_key(gateway, upstream).chat().status_code == 200
    eventually(lambda: list((gateway.folder / "spool").iterdir()))

    gateway.web.send_signal(signal.SIGTERM)
    gateway.web.wait(30)

    assert [] == list((gateway.folder / "spool").iterdir())


def test_bc_118_many_writers_on_few_keys_meet_no_deadlock(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway(workers=2)
    upstream.always(J(10, 100))
    keys = [make_key(gateway, upstream) for _ in range(5)]

    def calls(number: int) -> None:
        for turn in range(200):
            assert keys[(number * 7 + turn * 3) % 5].chat().status_code == 200

    together(8, calls)

    def total() -> Decimal:
        return sum((row["billed_cost"] for key in keys for row in gateway.rows(key.key_id)), Decimal(0))

    eventually(lambda: total() == Decimal("0.336"), 30)
    ended = gateway.sql("select deadlocks from pg_stat_database where datname = current_database()")
    assert [{"deadlocks": 0}] == ended
    assert Decimal("0.336") == sum(Decimal(gateway.usage(key)["cost"]) for key in keys)


def test_bc_122_calls_are_complete_on_a_redis_that_evicts(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway()
    upstream.always(J(10, 100))
    key = make_key(gateway, upstream)
    gateway.redis.config_set("maxmemory-policy", "allkeys-lru")
    gateway.redis.config_set("maxmemory", int(gateway.redis.info("memory")["used_memory"]) + 6_000_000)
    _restart_web(gateway)
    stop_worker(gateway)

    together(8, lambda _: [eventually(lambda: key.chat().status_code == 200) for _ in range(125)])
    _fill_until_evicted(gateway, f"{{b{bucket_of(key.workspace_id):02}}}:usage")
    gateway.start_worker()

    assert sum(row["billed_cost"] for row in gateway.settled(1000, key, 60)) == 1000 * PRICE
    assert "maxmemory-policy to noeviction" in gateway.log_text()


def _fill_until_evicted(gateway: Gateway, name: str) -> None:
    for number in range(10_000):
        gateway.redis.set(f"filler:{number}", "x" * 20_000)
        if not gateway.redis.exists(name):
            return
    raise AssertionError("the stream was not evicted")


def _restart_web(gateway: Gateway) -> None:
    gateway.web.send_signal(signal.SIGTERM)
    gateway.web.wait(30)
    gateway.start_web()
    eventually(gateway._is_ready, 30)


def test_bc_123_a_backlog_without_a_worker_shows_its_depth_and_age(
    start_gateway: StartGateway, upstream: Upstream
) -> None:
    gateway = start_gateway()
    key = make_key(gateway, upstream)
    stop_worker(gateway)
    assert {200} == {key.chat().status_code for _ in range(7)}

    def figures() -> dict[str, float]:
        page = httpx.get(gateway.metrics_url, trust_env=False).text
        lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    label = f'{{bucket="b{bucket_of(key.workspace_id):02}"}}'
    seen = eventually(lambda: (f := figures()).get(f"gateway_ingest_bucket_events{label}") == 7 and f)
    assert 7 == seen["gateway_ingest_backlog_events"]
    aged = eventually(lambda: figures()[f"gateway_ingest_bucket_age_seconds{label}"] > 1)
    assert aged

    gateway.start_worker()
    assert billed(key, calls=7) == 7 * PRICE
    eventually(lambda: f"gateway_ingest_bucket_events{label}" not in figures())
