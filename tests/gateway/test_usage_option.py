"""Upstreams that refuse the usage option which the gateway adds to streams."""

import time
from typing import Any

import pytest

from app.gateway import usage_option
from app.model import models
from app.model.catalogue import Address, Deadlines, Target
from app.provider.adapters import ADAPTERS
from app.units import new_id
from tests.factories import Key, make_key
from tests.gateway.answers import error_of, only_row, text_of
from tests.gateway_process import Gateway, eventually
from tests.upstream import END, HS, C, D, E, Exchange, F, J, Step, Upstream, hold, sleep, stream

ASKS: dict[str, Any] = {"stream_options": {"include_usage": True}}
REFUSAL = {"error": {"message": "Unrecognized request argument: stream_options", "param": "stream_options"}}
WITHOUT_USAGE = [HS, C("hel"), C("lo"), F, D, END]


def picky(*otherwise: Step, status: int = 422, body: object = REFUSAL) -> Step:
    """Refuse a request that holds the option; answer another one with `otherwise`."""

    def answer(exchange: Exchange) -> None:
        asks = "include_usage" in (exchange.request.json.get("stream_options") or {})
        for step in [E(status, body)] if asks else otherwise:
            if isinstance(step, bytes):
                exchange.send(step)
            else:
                step(exchange)

    return answer


def options(upstream: Upstream) -> list[Any]:
    """The stream options that the upstream was sent, request by request."""
    return [request.json.get("stream_options") for request in upstream.requests]


@pytest.mark.parametrize("status", [400, 422])
def test_bc_031_an_upstream_that_refuses_the_usage_option_is_asked_without_it(
    gateway: Gateway, upstream: Upstream, status: int
) -> None:
    key = make_key(gateway, upstream)
    upstream.always(picky(*WITHOUT_USAGE, status=status))

    answers = [key.chat(stream=True) for _ in range(2)]

    assert [("hello", 200)] * 2 == [(text_of(one.text), one.status_code) for one in answers]
    assert ["2", "1"] == [one.headers["x-gateway-attempts"] for one in answers]
    assert [ASKS["stream_options"], None, None] == options(upstream)
    assert upstream.connections == 1
    rows = gateway.settled(2, key)
    assert [("estimated", "done", 2), ("estimated", "done", 1)] == [
        (row["usage_source"], row["outcome"], row["attempts"]) for row in rows
    ]
    assert all(row["billable"] and row["input"] > 0 and row["output"] > 0 for row in rows)


def test_bc_031_a_client_that_asks_for_usage_gets_the_upstreams_refusal(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.always(picky(*WITHOUT_USAGE))
    asked = ASKS["stream_options"]

    answers = [key.chat(stream=True, **members) for members in (ASKS, {}, ASKS)]

    assert [422, 200, 422] == [one.status_code for one in answers]
    assert {REFUSAL["error"]["message"]} == {error_of(one)["message"] for one in answers[::2]}
    assert [asked, asked, None, asked] == options(upstream)
    assert [1, 2, 1] == [row["attempts"] for row in gateway.settled(3, key)]


@pytest.mark.parametrize(
    ("status", "body"),
    [(422, {"error": {"message": "messages: too many"}}), (500, REFUSAL), (404, REFUSAL), (429, REFUSAL)],
    ids=["another-reason", "500", "404", "429"],
)
def test_bc_031_an_upstream_that_refuses_for_another_reason_is_asked_once(
    gateway: Gateway, upstream: Upstream, status: int, body: object
) -> None:
    key = make_key(gateway, upstream)
    upstream.always(E(status, body))

    answer = key.chat(stream=True)

    assert answer.status_code == (502 if status == 500 else status)
    assert [ASKS["stream_options"]] == options(upstream)
    assert 1 == only_row(key)["attempts"]


def test_bc_031_a_whole_answer_is_asked_for_once(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(E(422, REFUSAL))
    upstream.will(J(10, 100))

    refused, answered = key.chat(), key.chat()

    assert (422, 200) == (refused.status_code, answered.status_code)
    assert [None, None] == options(upstream)
    assert [1, 1] == [row["attempts"] for row in gateway.settled(2, key)]


def test_an_upstream_that_refuses_the_second_try_too_is_not_remembered(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    again = {"error": {"message": "no such model", "param": "model"}}
    upstream.will(E(422, REFUSAL))
    upstream.will(E(422, again))
    upstream.always(*stream("hello"))

    refused, answered = key.chat(stream=True), key.chat(stream=True)

    assert (422, "no such model") == (refused.status_code, error_of(refused)["message"])
    assert "hello" == text_of(answered.text)
    assert [ASKS["stream_options"], None, ASKS["stream_options"]] == options(upstream)
    assert [2, 1] == [row["attempts"] for row in gateway.settled(2, key)]


def test_the_second_try_keeps_the_clients_other_options(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.always(picky(*WITHOUT_USAGE))

    key.chat(stream=True, stream_options={"include_usage": False, "x_vendor": 1})

    assert [{"include_usage": True, "x_vendor": 1}, {"x_vendor": 1}] == options(upstream)


def test_both_tries_share_their_deadline(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, timeouts={"first_byte_s": 2.0, "idle_s": 5, "total_s": 5})
    upstream.will(sleep(1.2), E(422, REFUSAL))
    upstream.will(hold)
    started = time.monotonic()

    answer = key.chat(stream=True)

    assert (504, 2) == (answer.status_code, len(upstream.requests))
    assert 1.9 < time.monotonic() - started < 3.0
    assert 2 == only_row(key)["attempts"]


def test_a_refusal_after_a_long_silence_still_becomes_a_stream(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(sleep(16), E(422, REFUSAL))
    upstream.will(*WITHOUT_USAGE)

    answer = key.chat(stream=True)

    assert (200, "hello") == (answer.status_code, text_of(answer.text))
    assert answer.text.startswith(": keep-alive")
    assert ("done", 2) == (only_row(key)["outcome"], only_row(key)["attempts"])


def test_a_deployment_that_was_changed_is_asked_with_the_option_again(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(picky())
    upstream.always(*WITHOUT_USAGE)
    key.chat(stream=True)

    change_priority(key)

    eventually(lambda: key.chat(stream=True).status_code == 200 and options(upstream)[-1] == ASKS["stream_options"], 5)
    assert [ASKS["stream_options"], None] == options(upstream)[:2]


def change_priority(key: Key) -> None:
    """Save the key's model with its deployment at another priority."""
    place: dict[str, Any] = {"provider_id": key.provider_id, "upstream_model": "upstream-model"}
    with key.gateway.services():
        models.save(key.workspace_id, key.model, [models.Deployment(**place, weight=1, priority=1)])


def test_a_refusal_is_forgotten_after_an_hour() -> None:
    target = Target(
        deployment_id=new_id(),
        provider="p",
        adapter=ADAPTERS["openai"],
        model="m",
        weight=1,
        priority=0,
        address=Address(host="127.0.0.1", port=1, tls=False),
        head=b"",
        deadlines=Deadlines(),
    )
    usage_option.note_refusal(target, 100.0)

    assert [True, False, False] == [usage_option.is_refused_by(target, at) for at in (3699.0, 3700.0, 3699.0)]
