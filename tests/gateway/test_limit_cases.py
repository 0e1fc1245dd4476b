"""Request rates: one limit over all processes, said in headers, forgiving."""

import time
from collections import Counter

import pytest

from tests.factories import make_key
from tests.gateway.answers import error_of, together
from tests.gateway_process import Gateway
from tests.upstream import E, J, Upstream, stream


def test_bc_045_a_limit_holds_over_all_processes(gateway2: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway2, upstream, requests_per_min=10)

    answers = together(40, lambda _: key.chat().status_code)

    assert Counter(answers) == {200: 10, 429: 30}
    assert len(upstream.requests) == 10
    gateway2.settled(10, key)


def test_bc_047_a_refusal_says_when_to_come_back(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, requests_per_min=2)

    first, second, third = (key.chat() for _ in range(3))

    assert [a.headers["x-ratelimit-remaining-requests"] for a in (first, second)] == ["1", "0"]
    assert (third.status_code, error_of(third)["code"]) == (429, "rate_limit_exceeded")
    assert third.headers["x-gateway-error"] == "policy_rate_limited"
    assert 1 <= int(third.headers["retry-after"]) <= 60
    limits = {third.headers["x-ratelimit-limit-requests"], first.headers["x-ratelimit-limit-requests"]}
    assert limits == {"2"}
    assert third.headers["x-ratelimit-remaining-requests"] == "0"


def test_bc_047_a_refused_stream_is_refused_the_same_way(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, requests_per_min=1)
    upstream.always(*stream("a"))

    first, second = key.chat(stream=True), key.chat(stream=True)

    assert (first.status_code, second.status_code) == (200, 429)
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert error_of(second)["message"]
    assert 1 <= int(second.headers["retry-after"]) <= 60


def test_bc_048_refused_calls_do_not_count(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, requests_per_min=60)
    while key.chat().status_code == 200:
        pass

    since, answers = time.monotonic(), []
    while time.monotonic() - since < 2.5:
        answers.append(key.chat().status_code)

    assert 2 <= answers.count(200) <= 3
    assert answers.count(429) > 10


def test_a_limit_of_nothing_refuses_every_call(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, requests_per_min=0)

    answer = key.chat()

    assert (answer.status_code, error_of(answer)["code"]) == (429, "rate_limit_exceeded")
    assert upstream.requests == []


def test_bc_052_a_key_at_its_limit_may_list_models(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, requests_per_min=1)
    assert [key.chat().status_code for _ in range(2)] == [200, 429]

    listed = gateway.client.get("/v1/models", headers=key.headers)

    assert (listed.status_code, [model["id"] for model in listed.json()["data"]]) == (200, ["m"])


@pytest.mark.parametrize("script", [E(500, {"error": {"message": "down"}}), J(1, 1)], ids=["failed", "answered"])
def test_an_admitted_call_counts_however_it_ends(gateway: Gateway, upstream: Upstream, script: bytes) -> None:
    key = make_key(gateway, upstream, requests_per_min=1)
    upstream.always(script)

    key.chat()

    assert key.chat().status_code == 429
