"""What goes wrong upstream or in the request, and what the client is told."""

import json
from typing import Any

import pytest

from app.config import MAX_BODY_BYTES
from tests.factories import HELLO, make_key
from tests.gateway.answers import assert_failed_free, billed, error_of, only_row, payloads, raw, text_of
from tests.gateway_process import Gateway
from tests.upstream import (
    END,
    C,
    D,
    E,
    F,
    J,
    U,
    Upstream,
    chunk,
    completion,
    head,
    hold,
    reply,
    zipped,
)

SAID = {"message": "said upstream", "type": "their_type", "param": "their_param", "code": "their_code"}


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 429])
def test_bc_061_a_callers_fault_is_passed_on(gateway: Gateway, upstream: Upstream, status: int, streamed: bool) -> None:
    key = make_key(gateway, upstream)
    upstream.will(E(status, {"error": SAID}, "Retry-After: 7"))

    answer = key.chat(stream=streamed)

    assert (answer.status_code, error_of(answer)) == (status, SAID)
    assert answer.headers.get("retry-after") == ("7" if status == 429 else answer.headers.get("retry-after"))
    assert len(upstream.requests) == 1
    assert_failed_free(key)


@pytest.mark.parametrize(
    ("status", "allowed"), [(408, {504}), (500, {500, 502}), (502, {502}), (503, {503}), (504, {504}), (529, {503})]
)
def test_bc_061_an_upstreams_fault_keeps_its_kind(
    gateway: Gateway, upstream: Upstream, status: int, allowed: set[int]
) -> None:
    key = make_key(gateway, upstream)
    body = json.dumps({"error": SAID}).encode()
    upstream.will(
        b"HTTP/1.1 %d Fault\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body)), body
    )

    answer = key.chat()

    assert answer.status_code in allowed
    assert error_of(answer)["message"]
    assert_failed_free(key)


@pytest.mark.parametrize("status", [401, 403])
def test_our_bad_credential_is_not_the_clients(gateway: Gateway, upstream: Upstream, status: int) -> None:
    key = make_key(gateway, upstream)
    upstream.will(E(status, {"error": {"message": "Incorrect API key provided: sk-up***", "code": "invalid_api_key"}}))

    answer = key.chat()

    assert (answer.status_code, answer.headers["x-gateway-error"]) == (502, "provider_refused")
    assert "sk-up" not in answer.text
    assert error_of(answer)["code"] != "invalid_api_key"
    assert_failed_free(key)


@pytest.mark.parametrize("body", [{"error": {"message": "limit", "code": 502}}, None, {}, {"choices": None}, []])
def test_bc_062_a_200_that_is_no_answer_is_a_failure(gateway: Gateway, upstream: Upstream, body: object) -> None:
    key = make_key(gateway, upstream)
    upstream.will(E(200, body))

    answer = key.chat()

    assert answer.status_code == 502
    assert error_of(answer)["message"]
    assert_failed_free(key)


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_bc_063_an_error_page_becomes_a_short_json_error(gateway: Gateway, upstream: Upstream, streamed: bool) -> None:
    key = make_key(gateway, upstream)
    upstream.will(reply(502, b"<html>" + b"<p>bad gateway</p>" * 280 + b"</html>", "text/html"))

    answer = key.chat(stream=streamed)

    assert answer.status_code == 502
    assert len(error_of(answer)["message"]) <= 300
    assert answer.text.count("bad gateway") * len("<p>bad gateway</p>") <= 200
    assert_failed_free(key)


CUT = json.dumps(completion(10, 100)).encode()[:60]


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(
    "answer",
    [reply(200, b"<html>hello</html>", "text/html"), reply(200, CUT), reply(200, b"")],
    ids=["html", "cut", "empty"],
)
def test_bc_064_nonsense_with_status_200_is_no_success(
    gateway: Gateway, upstream: Upstream, answer: bytes, streamed: bool
) -> None:
    key = make_key(gateway, upstream)
    upstream.will(answer)

    got = key.chat(stream=streamed)

    assert got.status_code == 502
    assert error_of(got)["message"]
    assert_failed_free(key)


def test_bc_064_a_body_shorter_than_announced_is_no_success(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(head(200, "application/json", length=len(CUT) * 2) + CUT, _close)

    answer = key.chat()

    assert answer.status_code == 502
    assert error_of(answer)["message"]
    assert only_row(key)["outcome"] != "done"


def _close(_: object) -> None:
    raise ConnectionAbortedError


MALFORMED: dict[str, tuple[bytes, str | None]] = {
    "empty": (b"", None),
    "list": (b"[]", None),
    "string": (b'"x"', None),
    "null": (b"null", None),
    "brace": (b"{", None),
    "comma": (b'{"a":1,}', None),
    "latin-1": (b'{"model":"m","messages":[{"role":"user","content":"\xe9"}]}', None),
    "NaN": (b'{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":NaN}', None),
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
    assert "incomplete" in json.loads(body)["error"]["message"].lower()
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


HOP_BY_HOP = (
    "Keep-Alive: timeout=5",
    "Proxy-Authenticate: Basic",
    "Trailer: x-t",
    "Upgrade: h2c",
    "Connection: x-private",
    "X-Private: 1",
)


def test_bc_068_a_compressed_answer_can_be_read(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    body = json.dumps(completion(10, 100)).encode()
    upstream.will(reply(200, zipped(body), "application/json", "Content-Encoding: gzip", *HOP_BY_HOP))

    answer = key.chat(headers={"Accept-Encoding": "identity"})

    assert (answer.status_code, answer.json()) == (200, json.loads(body))
    assert "content-encoding" not in answer.headers
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert not {"proxy-authenticate", "trailer", "upgrade", "x-private"} & set(answer.headers)
    assert billed(key) * 100_000 == 21


def test_bc_068_a_compressed_stream_can_be_read(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    plain = b"".join(_body_of(step) for step in (C("a"), C("b"), F, U(10, 100), D))
    packed = zipped(plain)
    parts = [chunk(packed[start : start + 7]) for start in range(0, len(packed), 7)]
    upstream.will(head(200, "text/event-stream", "Content-Encoding: gzip"), *parts, END)

    answer = key.chat(stream=True, headers={"Accept-Encoding": "identity"})

    assert "content-encoding" not in answer.headers
    assert (text_of(answer.text), payloads(answer.text)[-1]) == ("ab", "[DONE]")
    assert billed(key) * 100_000 == 21


def _body_of(chunked: bytes) -> bytes:
    return chunked.partition(b"\r\n")[2].removesuffix(b"\r\n")


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_bc_069_names_and_headers_outside_latin_1_do_no_harm(
    gateway: Gateway, upstream: Upstream, streamed: bool
) -> None:
    key = make_key(gateway, upstream, model="通义千问")
    body = json.dumps(completion(10, 100)).encode()
    said = (
        head(200, "text/event-stream", "x-served-by: é")
        if streamed
        else reply(200, body, "application/json", "x-served-by: é")
    )
    upstream.will(said, *([C("a"), F, U(10, 100), D, END] if streamed else []))

    answer = key.chat(stream=streamed)

    assert answer.status_code == 200
    assert all(name.isascii() and value.isascii() for name, value in answer.headers.items())
    row = only_row(key)
    assert (row["alias"], row["outcome"]) == ("通义千问", "done")


def test_a_silent_upstream_is_a_timeout(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, timeouts={"first_byte_s": 0.5})
    upstream.will(hold)

    answer = key.chat()

    assert (answer.status_code, answer.headers["x-gateway-error"]) == (504, "provider_timeout")
    assert upstream.requests[0].wait_closed(3)
    assert assert_failed_free(key)["outcome"] == "timeout"


def test_a_closed_port_is_unreachable_and_not_named(gateway: Gateway) -> None:
    key = make_key(gateway, "http://127.0.0.1:9/v1")

    answer = key.chat()

    assert (answer.status_code, answer.headers["x-gateway-error"]) == (502, "provider_unreachable")
    assert "127.0.0.1" not in answer.text
    assert answer.headers["x-request-id"]
    assert_failed_free(key)


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


def test_one_good_call_in_json_is_passed_untouched(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    odd = b'{"choices": [{"index":0,"message":{"content":"\\u00e9"},"x":1.50}],"usage":{"prompt_tokens":1,"completion_tokens":1}, "v":1e2}'
    upstream.will(reply(200, odd))

    answer = key.chat()

    assert (answer.status_code, answer.content) == (200, odd)


def test_an_answer_names_the_call_and_its_target(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(J(10, 100))

    answer = key.chat()

    row = only_row(key)
    assert answer.headers["x-request-id"] == str(row["event_id"])
    assert (answer.headers["x-gateway-model"], answer.headers["x-gateway-attempts"]) == ("m", "1")
    assert answer.headers["x-gateway-provider"] == row["provider"]
    assert row["upstream_model"] == "upstream-model"
