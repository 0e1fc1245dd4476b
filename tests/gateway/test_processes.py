"""Processes that die, servers that are away, and what holds over all processes."""

import os
import re
import signal
import threading
import time
from collections import Counter
from decimal import Decimal

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Servers, StartGateway
from tests.factories import Key, make_key
from tests.gateway.answers import DONE, billed, error_of, payloads, text_of, together
from tests.gateway_process import Gateway, eventually
from tests.upstream import HS, C, J, Upstream, hold, stream, wait_for

IN_FLIGHT = 10


def test_calls_of_a_killed_worker_are_settled_or_provisional(gateway2: Gateway, upstream: Upstream) -> None:
    key, go_on = make_key(gateway2, upstream), threading.Event()
    upstream.always(HS, C("a"), wait_for(go_on), *stream("b")[1:])

    def call(_: int) -> bool:
        try:
            return payloads(key.chat(stream=True).text)[-1] == DONE
        except httpx.TransportError:
            return False

    killer = threading.Thread(target=kill_the_busiest, args=(gateway2, upstream, go_on))
    killer.start()
    finished = together(IN_FLIGHT, call)
    killer.join()

    assert 0 < finished.count(False) <= IN_FLIGHT
    dead = eventually(lambda: len(left := gateway2.intents()) == finished.count(False) and left)
    age_leases(gateway2)
    rows = eventually(lambda: len(rows := gateway2.rows(key.key_id)) == IN_FLIGHT and rows, 20)
    assert (
        Counter(row["state"] for row in rows)
        == Counter({"settled": finished.count(True), "provisional": finished.count(False)}) - Counter()
    )
    assert {str(row["event_id"]) for row in rows if row["state"] == "provisional"} == set(dead)
    assert {row["billed_cost"] for row in rows if row["state"] == "settled"} <= {Decimal("0.00021")}
    assert gateway2.usage(key)["requests"] == IN_FLIGHT
    eventually(lambda: len(gateway2.web_workers()) == 2)


def kill_the_busiest(gateway: Gateway, upstream: Upstream, go_on: threading.Event) -> None:
    """Kill the worker with most connections once all calls are in flight, then let the others go on."""
    upstream.wait_for_requests(IN_FLIGHT)
    eventually(lambda: all(len(request.sent) >= 2 for request in upstream.requests))
    eventually(lambda: len(gateway.intents()) == IN_FLIGHT)
    os.kill(max(gateway.web_workers(), key=lambda pid: len(psutil.Process(pid).net_connections())), signal.SIGKILL)
    go_on.set()


def age_leases(gateway: Gateway) -> None:
    """Make every lease look as if nobody had renewed it for a minute."""
    for name in gateway.redis.scan_iter(match="{b*}:intents"):
        for event_id in gateway.redis.zrange(name, 0, -1):
            gateway.redis.zincrby(name, -60_000, str(event_id))


def test_a_settlement_replaces_the_provisional_event(gateway: Gateway, upstream: Upstream) -> None:
    key, go_on = make_key(gateway, upstream), threading.Event()
    upstream.will(HS, C("a"), wait_for(go_on), *stream("b")[1:])

    with key.streaming() as answer:
        lines = answer.iter_lines()
        next(lines)
        eventually(gateway.intents)
        age_leases(gateway)
        provisional = eventually(lambda: gateway.rows(key.key_id))
        go_on.set()
        list(lines)

    assert [row["state"] for row in provisional] == ["provisional"]
    settled = eventually(lambda: (rows := gateway.rows(key.key_id))[0]["state"] == "settled" and rows)
    assert [(row["outcome"], row["billed_cost"]) for row in settled] == [("done", Decimal("0.00021"))]
    assert settled[0]["event_id"] == provisional[0]["event_id"]
    summary = gateway.usage(key)
    assert (summary["requests"], summary["cost"]) == (1, "0.000210")


def test_metrics_are_right_over_two_processes(gateway2: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway2, upstream)
    before = metrics(gateway2)

    together(8, lambda _: [key.chat() for _ in range(5)])

    gateway2.settled(40, key)
    grown = eventually(lambda: (n := metrics(gateway2) - before)["gateway_requests_total"] >= 40 and n, 5)
    assert grown["gateway_requests_total"] == 40
    assert grown["gateway_tokens_total{meter=output}"] == 4000
    assert metrics(gateway2)["gateway_calls_in_flight"] == 0


def metrics(gateway: Gateway) -> Counter[str]:
    """Every sample by name, summed over labels, and tokens by meter."""
    page = httpx.get(gateway.metrics_url, trust_env=False)
    assert page.status_code == 200
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(page.text):
        for sample in family.samples:
            found[sample.name] += sample.value  # type: ignore[assignment]
            if "meter" in sample.labels:
                found[f"{sample.name}{{meter={sample.labels['meter']}}}"] += sample.value  # type: ignore[assignment]
    return found


@pytest.mark.parametrize("killed", [False, True], ids=["frozen", "killed"])
def test_without_redis_calls_are_refused_quickly_and_served_again_afterwards(
    start_gateway: StartGateway, upstream: Upstream, killed: bool
) -> None:
    gateway = start_gateway()
    key = make_key(gateway, upstream)
    assert key.chat().status_code == 200

    with without_redis(gateway, killed=killed):
        since = time.monotonic()
        answers = [key.chat(stream=bool(number % 2)) for number in range(6)]
        took = time.monotonic() - since
        assert gateway.client.get("/healthz").status_code == 200

    assert {(a.status_code, a.headers["x-gateway-error"]) for a in answers} == {(503, "gateway_unavailable")}
    assert all(error_of(answer)["message"] for answer in answers)
    assert took < 3
    assert len(upstream.requests) == 1
    eventually(lambda: key.chat().status_code == 200)
    served = len(upstream.requests)
    eventually(lambda: len(gateway.rows(key.key_id)) == served)


def without_redis(gateway: Gateway, *, killed: bool):
    return gateway.redis_killed() if killed else gateway.redis_frozen()


def test_usage_settled_while_redis_is_away_is_kept(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway()
    key, go_on = make_key(gateway, upstream), threading.Event()
    upstream.will(HS, C("a"), wait_for(go_on), *stream("b")[1:])

    with key.streaming() as answer:
        lines = answer.iter_lines()
        next(lines)
        with gateway.redis_killed():
            go_on.set()
            rest = list(lines)

    assert DONE in payloads("\n".join(rest))
    assert billed(key) == Decimal("0.00021")


def test_with_the_database_away_known_keys_are_served_and_unknown_ones_are_not_judged(
    start_gateway: StartGateway, servers: Servers, upstream: Upstream
) -> None:
    gateway = start_gateway()
    key = make_key(gateway, upstream)

    with servers.away(gateway.database):
        unknown = {"Authorization": "Bearer gw_aaaaaaaa_" + "b" * 32 + "_cccccc"}
        eventually(lambda: gateway.client.get("/v1/models", headers=unknown).status_code == 503)
        answers = [key.chat() for _ in range(3)]
        stranger = gateway.client.get("/v1/models", headers=unknown)
        ready = gateway.client.get("/readyz").status_code

    assert [answer.status_code for answer in answers] == [200] * 3
    assert (stranger.status_code, stranger.headers["x-gateway-error"]) == (503, "gateway_unavailable")
    assert ready == 200
    assert billed(key, calls=3) == Decimal("0.00063")
    eventually(lambda: gateway.client.get("/v1/models", headers=unknown).status_code == 401)


def test_sigterm_lets_streams_end_and_takes_no_new_ones(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway(workers=2)
    key, go_on = make_key(gateway, upstream), threading.Event()
    upstream.will(HS, C("a"), wait_for(go_on), *stream("b")[1:])

    with key.streaming() as answer:
        lines = answer.iter_lines()
        first = next(lines)
        gateway.web.send_signal(signal.SIGTERM)
        eventually(lambda: not takes_calls(gateway), 5)
        go_on.set()
        rest = list(lines)

    assert text_of("\n".join([first, *rest])) == "ab"
    assert DONE in payloads("\n".join(rest))
    assert gateway.web.wait(20) == 0
    assert billed(key) == Decimal("0.00021")


def takes_calls(gateway: Gateway) -> bool:
    """Whether a fresh connection is answered with readiness."""
    try:
        return httpx.get(f"{gateway.url}/readyz", trust_env=False, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def test_a_killed_rq_worker_and_horse_lose_and_double_nothing(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway()
    key = make_key(gateway, upstream)
    upstream.always(J(1, 1))

    for _ in range(2):
        together(10, lambda _: [key.chat() for _ in range(15)])
        kill_ingest(gateway)
    together(10, lambda _: [key.chat() for _ in range(10)])

    rows = gateway.settled(400, key, limit_s=30)
    assert len({row["event_id"] for row in rows}) == 400
    summary = gateway.usage(key)
    assert (summary["requests"], summary["tokens"]["output"]) == (400, 400)


def kill_ingest(gateway: Gateway) -> None:
    """Kill the process that takes jobs and the one that does the job, if there is one just now."""
    victims = [pid for pid in (gateway.rq_worker(), gateway.horse()) if pid]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)


def test_every_log_line_is_json_with_the_calls_id(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)

    request_id = key.chat().headers["x-request-id"]

    [line] = [line for line in gateway.log_text().splitlines() if request_id in line]
    assert line.startswith("{")
    assert re.search(r'"(level|levelname)"', line)


def test_two_gateways_share_nothing(gateway: Gateway, gateway2: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)

    stranger = gateway2.client.get("/v1/models", headers=key.headers)

    assert stranger.status_code == 401


def test_a_slow_upstream_holds_up_nobody_else(gateway: Gateway, upstream: Upstream) -> None:
    slow, quick = make_key(gateway, upstream), make_key(gateway, upstream, upstream_model="quick")
    upstream.for_model("quick", J(1, 1))
    upstream.always(hold)

    def ask(key: Key) -> float:
        since = time.monotonic()
        assert key.chat().status_code == 200
        return time.monotonic() - since

    with slow.hanging(30):
        upstream.wait_for_requests(30)
        took = [ask(quick) for _ in range(5)]
        connections = gateway.sql("select state from pg_stat_activity where datname = current_database()")

    assert max(took) < 1
    assert "idle in transaction" not in {row["state"] for row in connections}
    gateway.settled(30, slow)
