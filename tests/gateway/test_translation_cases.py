"""What reaches the upstream: the client's request, changed in model, credential and usage option only."""

import json
from typing import Any

import pytest

from tests.factories import HELLO, make_key
from tests.gateway.answers import billed
from tests.gateway_process import Gateway
from tests.upstream import J, Upstream, stream

ODD_BODY = """{
  "model": "m", "messages": [{"role": "user", "content": "h\\u00e9llo \\ud83d\\ude00"}],
  "reasoning_effort": "low", "prediction": {"type": "content", "content": "x"}, "safety_identifier": "u-1",
  "x_vendor": {"a": [1, 2], "b": null}, "seed": 9007199254740993, "temperature": 0.1, "logit_bias": {"50256": -100},
  "metadata": {"team": "blue"}, "user": "u-1", "top_p": 1e0, "big": 123456789012345678901234567890,
  "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"minimum": 1.0, "maximum": 1e2}}},
  "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
}"""
PUBLIC_MEMBERS = {"model", "messages", "stream", "stream_options"}


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_bc_074_every_member_reaches_the_upstream_as_it_was(
    gateway: Gateway, upstream: Upstream, streamed: bool
) -> None:
    key = make_key(gateway, upstream)
    body = ODD_BODY.replace('"model": "m",', '"model": "m", "stream": true,') if streamed else ODD_BODY

    headers = key.headers | {"Content-Type": "application/json"}
    answer = gateway.client.post("/v1/chat/completions", content=body, headers=headers)

    assert answer.status_code == 200
    [request] = upstream.requests
    usage_option: dict[str, Any] = {"stream_options": {"include_usage": True}} if streamed else {}
    assert request.json == json.loads(body) | {"model": "upstream-model"} | usage_option
    assert b"9007199254740993" in request.body


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_bc_075_nothing_of_our_own_book_keeping_goes_upstream(
    gateway: Gateway, upstream: Upstream, streamed: bool
) -> None:
    key = make_key(gateway, upstream)
    upstream.always(*(stream("a") if streamed else [J(10, 100)]))

    key.chat(stream=streamed)

    [request] = upstream.requests
    assert set(request.json) <= PUBLIC_MEMBERS
    assert request.json["messages"] == HELLO
    for secret in (key.workspace_id, key.application_id, key.key_id, key.model_id, key.provider_id):
        assert str(secret).encode() not in request.head + request.body


def test_the_clients_other_stream_options_stay(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(*stream("a"))

    key.chat(stream=True, stream_options={"include_usage": False, "x_vendor": 1})

    assert upstream.requests[0].json["stream_options"] == {"include_usage": True, "x_vendor": 1}


def test_bc_076_a_body_of_six_megabytes_passes(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * 750_000}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "what is this?"}, image]}]

    answer = key.chat(messages=messages)

    assert answer.status_code == 200
    assert upstream.requests[0].json["messages"] == messages
    assert billed(key) * 100_000 == 21


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/api/v3", "/api/v3/chat/completions"),
        (
            "/openai/deployments/d?api-version=2024-06-01",
            "/openai/deployments/d/chat/completions?api-version=2024-06-01",
        ),
    ],
)
def test_a_base_address_and_the_path_are_joined_once(
    gateway: Gateway, upstream: Upstream, base: str, path: str
) -> None:
    key = make_key(gateway, f"http://127.0.0.1:{upstream.port}{base}")

    key.chat()

    assert [request.path for request in upstream.requests] == [path]
