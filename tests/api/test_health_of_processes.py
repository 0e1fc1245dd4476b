"""Health, metrics and log of the gateway as it really runs."""

import json
import os
import signal
import time
from collections.abc import Mapping

import httpx

from tests.conftest import StartGateway
from tests.factories import Key, make_key
from tests.gateway_process import Gateway, eventually
from tests.logging.test_metrics import samples
from tests.upstream import Upstream, hold

CALLS = 20
SERVED = ("gateway_requests_total", "outcome=done", "route=/v1/chat/completions", "status_class=2xx")
OUTPUT = ("gateway_tokens_total", "meter=output")


def scraped(gateway: Gateway) -> Mapping[tuple[str, ...], float]:
    answer = httpx.get(gateway.metrics_url, trust_env=False, timeout=5)
    assert answer.status_code == 200, answer.text
    return samples(answer.content)


def call_on_fresh_connections(key: Key, count: int) -> None:
    for _ in range(count):
        with httpx.Client(base_url=key.gateway.url, trust_env=False) as client:
            body = {"model": key.model, "messages": [{"role": "user", "content": "hello"}]}
            assert client.post("/v1/chat/completions", json=body, headers=key.headers).status_code == 200


def test_metrics_are_right_over_two_processes_and_survive_one_of_them(
    start_gateway: StartGateway, upstream: Upstream
) -> None:
    gateway = start_gateway(workers=2)
    call_on_fresh_connections(make_key(gateway, upstream), CALLS)
    eventually(lambda: scraped(gateway)[SERVED] == CALLS)
    before = [scraped(gateway) for _ in range(6)]

    os.kill(gateway.web_workers()[0], signal.SIGKILL)
    eventually(lambda: len(gateway.web_workers()) == 2)
    after = scraped(gateway)

    assert [(page[SERVED], page[OUTPUT]) for page in before] == [(CALLS, 100 * CALLS)] * 6
    assert (after[SERVED], after[OUTPUT]) == (CALLS, 100 * CALLS)
    assert before[0]["gateway_request_seconds_count",] == CALLS


def test_a_call_in_flight_is_shown_until_its_client_has_left(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway()
    key = make_key(gateway, upstream)
    upstream.will(hold)
    in_flight = ("gateway_calls_in_flight",)

    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        body = {"model": key.model, "messages": [{"role": "user", "content": "hello"}]}
        request = client.build_request("POST", "/v1/chat/completions", json=body, headers=key.headers, timeout=0.5)
        try:
            client.send(request)
        except httpx.ReadTimeout:
            eventually(lambda: scraped(gateway)[in_flight] == 1)

    eventually(lambda: scraped(gateway)[in_flight] == 0)


def test_bc_133_metrics_are_on_their_own_port_only(gateway: Gateway) -> None:
    spoofed = {"Host": f"127.0.0.1:{gateway.metrics_port}"}

    answers = [gateway.client.get("/metrics"), gateway.client.get("/metrics", headers=spoofed)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert all("gateway_" not in answer.text for answer in answers)
    assert scraped(gateway)["gateway_worker_up",] == 1


def test_bc_138_health_answers_at_once_while_redis_is_frozen(start_gateway: StartGateway) -> None:
    gateway = start_gateway()

    with gateway.redis_frozen():
        began = time.monotonic()
        answers = [gateway.client.get(path) for path in ("/healthz", "/readyz")]
        took_s = time.monotonic() - began
        page = scraped(gateway)

    assert [answer.status_code for answer in answers] == [200, 200]
    assert took_s < 1
    up = {name: page["gateway_reading_up", f"reading={name}"] for name in ("redis", "jobs", "database", "node")}
    assert up == {"redis": 0, "jobs": 0, "database": 1, "node": 1}


def test_every_line_of_the_log_is_json_and_a_call_has_one(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway()
    key = make_key(gateway, upstream)
    call_id = key.chat().headers["x-request-id"]
    gateway.settled(1, key)

    lines = [json.loads(line) for line in gateway.log_text().splitlines()]

    calls = [line for line in lines if line.get("request_id") == call_id]
    assert [(line["logger"], line["status"], line["tokens"]["output"]) for line in calls] == [("call", 200, 100)]
    assert {"gunicorn.error", "call"} <= {line["logger"] for line in lines}
    assert key.secret not in gateway.log_text()
