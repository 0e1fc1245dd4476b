"""What of an upstream's answer reaches the client, and how."""

import json

import pytest

from tests.factories import make_key
from tests.gateway.answers import billed, only_row, payloads, text_of
from tests.gateway_process import Gateway
from tests.upstream import (
    END,
    C,
    D,
    F,
    J,
    U,
    Upstream,
    chunk,
    completion,
    head,
    reply,
    zipped,
)

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
