"""Processes that die or are stopped, and what holds over all of them."""

import os
import signal
import threading
from collections import Counter
from decimal import Decimal
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import StartGateway
from tests.factories import Key, make_key
from tests.gateway.answers import DONE, billed, payloads, text_of, together
from tests.gateway_process import Gateway, eventually
from tests.upstream import HS, C, J, Upstream, stream, wait_for

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


def swept(gateway: Gateway, key: Key) -> list[dict[str, Any]]:
    """The rows of calls whose leases have ended; each look ends them again, for the process renews them."""
    age_leases(gateway)
    return gateway.rows(key.key_id)


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
        provisional = eventually(lambda: swept(gateway, key))
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
    eventually(lambda: metrics(gateway2)["gateway_calls_in_flight"] == 0)


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
