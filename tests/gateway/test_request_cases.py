"""Requests that cannot be read, and addresses that do not exist."""

import json
import re
from decimal import Decimal
from typing import Any

import pytest

from app.config import MAX_BODY_BYTES
from tests.factories import HELLO, http_post, make_key
from tests.gateway.answers import error_of, only_row, raw
from tests.gateway_process import Gateway
from tests.upstream import Upstream

MALFORMED: dict[str, tuple[bytes, str | None]] = {
    "empty": (b"", None),
    "list": (b"[]", None),
    "string": (b'"x"', None),
    "null": (b"null", None),
    "brace": (b"{", None),
    "comma": (b'{"a":1,}', None),
    "latin-1": (b'{"model":"m","messages":[{"role":"user","content":"\xe9"}]}', None),
    "NaN": (b'{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":NaN}', None),
    "infinity": (b'{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":1e999}', None),
    "half a surrogate": (b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}', None),
    "too deep": (b'{"model":"m","messages":' + b"[" * 50_000 + b"]" * 50_000 + b"}", None),
    "no model": (b'{"messages":[{"role":"user","content":"x"}]}', "model"),
    "no messages": (b'{"model":"m"}', "messages"),
    "messages a string": (b'{"model":"m","messages":"x"}', "messages"),
    "messages empty": (b'{"model":"m","messages":[]}', "messages"),
    "model 5": (b'{"model":5,"messages":[{"role":"user","content":"x"}]}', "model"),
}


@pytest.mark.parametrize(("body", "param"), MALFORMED.values(), ids=MALFORMED.keys())
def test_bc_065_malformed_input_is_the_callers_fault(
    gateway: Gateway, upstream: Upstream, body: bytes, param: str | None
) -> None:
    key = make_key(gateway, upstream)

    headers = key.headers | {"Content-Type": "application/json"}
    answer = gateway.client.post("/v1/chat/completions", content=body, headers=headers)

    assert (answer.status_code, error_of(answer)["type"]) == (400, "invalid_request_error")
    assert param is None or error_of(answer)["param"] == param
    assert len(answer.content) < 4096
    assert upstream.requests == []
    assert "Traceback" not in answer.text + gateway.log_text()


def test_bc_065_json_sent_as_plain_text_is_read_or_refused_as_such(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)

    headers = key.headers | {"Content-Type": "text/plain"}
    body = json.dumps({"model": "m", "messages": HELLO})
    answer = gateway.client.post("/v1/chat/completions", content=body, headers=headers)

    assert answer.status_code in (200, 415)
    assert len(upstream.requests) == (answer.status_code == 200)


def test_bc_066_half_a_body_is_not_an_empty_one(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    half = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * 449

    request = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key.secret}\r\n"
    request += "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    answer = raw(gateway, request.encode() + half, half_close=True)

    status, body = answer.split(b" ", 2)[1], answer.partition(b"\r\n\r\n")[2]
    assert status in (b"400", b"408")
    assert re.search("incomplete|shorter|whole", json.loads(body)["error"]["message"])
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("route", "status"),
    [
        ("POST /v1/responses", 404),
        ("POST /v1/messages/count_tokens", 404),
        ("GET /v1/chat/completions", 405),
        ("POST /v1/models", 405),
        ("GET /v1/nope", 404),
        ("POST /v1/", 404),
    ],
)
@pytest.mark.parametrize("with_key", [True, False])
def test_bc_067_routes_we_lack_answer_in_json(
    gateway: Gateway, upstream: Upstream, route: str, status: int, with_key: bool
) -> None:
    key = make_key(gateway, upstream)

    answer = gateway.client.request(*route.split(), headers=key.headers if with_key else {}, json={})

    assert answer.status_code == status
    assert error_of(answer)["message"]
    assert ("allow" in answer.headers) == (status == 405)


def test_bc_024_a_legacy_completion_is_not_found_and_leaves_no_row(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    body = {"model": key.model, "prompt": "hello", "stream": True}

    answer = gateway.client.post("/v1/completions", headers=key.headers, json=body)

    assert (404, "unknown_url") == (answer.status_code, error_of(answer)["code"])
    assert upstream.requests == []
    key.chat()
    assert only_row(key)["billed_cost"] == Decimal("0.00021")


def test_a_model_nobody_has_is_not_found(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)

    answer = key.chat(model="nope")

    assert (answer.status_code, error_of(answer)["code"]) == (404, "model_not_found")
    assert "nope" in error_of(answer)["message"]
    assert upstream.requests == []


def test_a_body_above_the_limit_is_refused_by_name(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)

    request = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key.secret}\r\n"
    request += f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
    answer = raw(gateway, request.encode(), half_close=True)

    assert answer.split(b" ", 2)[1] == b"413"
    said: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert "32" in said["error"]["message"]
    assert upstream.requests == []


def test_a_body_may_come_in_chunks(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    body = json.dumps({"model": "m", "messages": HELLO}).encode()

    headers = key.headers | {"Content-Type": "application/json"}
    answer = gateway.client.post("/v1/chat/completions", content=iter([body[:10], body[10:]]), headers=headers)

    assert answer.status_code == 200
    assert upstream.requests[0].json["messages"] == HELLO


def test_a_client_may_wait_for_leave_to_send_its_body(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    body = {"model": "m", "messages": HELLO}

    headers = key.headers | {"Expect": "100-continue", "Connection": "close"}
    answer = raw(gateway, http_post("/v1/chat/completions", headers, body))

    assert [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/")][-1] == b"HTTP/1.1 200 OK"
    assert len(upstream.requests) == 1
