"""Clients that hang up: the upstream is let go and the call is settled."""

import threading
import time

from tests.factories import HELLO, Key, http_post, make_key, open_connection
from tests.gateway.answers import assert_failed_free, text_of
from tests.gateway_process import Gateway, eventually
from tests.upstream import HS, C, J, Upstream, hold, sleep, stream, wait_for


def test_a_client_that_leaves_a_silent_stream_closes_the_upstream(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(HS, C("one two three"), hold)

    with key.streaming() as answer:
        assert "one two three" in next(answer.iter_text())
    left = time.monotonic()

    assert upstream.requests[0].wait_closed(10) - left <= 5
    [row] = gateway.settled(1, key)
    assert (row["outcome"], row["usage_source"], row["billable"]) == ("client_gone", "estimated", True)
    assert row["output"] > 0
    assert gateway.intents() == []


def test_a_client_that_leaves_before_the_first_byte_closes_the_upstream(gateway: Gateway, upstream: Upstream) -> None:
    for streamed in (False, True):
        key = make_key(gateway, upstream)
        upstream.will(hold)

        with open_connection(gateway) as connection:
            connection.sendall(request_of(key, stream=streamed))
            request = upstream.wait_for_requests(1 + streamed)[-1]
        left = time.monotonic()

        assert request.wait_closed(10) - left <= 5
        assert assert_failed_free(key)["outcome"] == "client_gone"


def test_a_client_that_leaves_an_answer_without_a_length_is_still_the_one_that_left(
    gateway: Gateway, upstream: Upstream
) -> None:
    key = make_key(gateway, upstream)
    upstream.will(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"choices": ', hold)

    with open_connection(gateway) as connection:
        connection.sendall(request_of(key))
        request = upstream.wait_for_requests(1)[-1]

    request.wait_closed(10)
    assert assert_failed_free(key)["outcome"] == "client_gone"


def test_a_client_that_leaves_a_lively_stream_closes_the_upstream(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(HS, *(step for _ in range(200) for step in (C("word "), sleep(0.05))))

    with key.streaming() as answer:
        assert text_of(next(answer.iter_text())).startswith("word ")
    left = time.monotonic()

    assert upstream.requests[0].wait_closed(10) - left <= 5
    [row] = gateway.settled(1, key)
    assert (row["outcome"], row["usage_source"]) == ("client_gone", "estimated")
    assert 1 <= row["output"] <= 400


def test_a_client_that_sends_its_next_request_early_has_not_left(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(sleep(2.5), J(10, 100))
    upstream.will(J(10, 100))

    with open_connection(gateway) as connection:
        connection.sendall(request_of(key) * 2)
        received = b""
        while received.count(b"chat.completion") < 2 and (data := connection.recv(65536)):
            received += data

    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert [row["outcome"] for row in gateway.settled(2, key)] == ["done", "done"]


def test_a_silent_client_is_still_there(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    go_on = threading.Event()
    upstream.will(HS, C("a"), wait_for(go_on), *stream("b")[1:])

    with key.streaming() as answer:
        lines = answer.iter_lines()
        assert "a" in next(lines)
        eventually(lambda: time.monotonic() - upstream.requests[0].at > 3)
        go_on.set()
        rest = "\n".join(lines)

    assert rest.endswith("data: [DONE]\n")
    assert [row["outcome"] for row in gateway.settled(1, key)] == ["done"]


def request_of(key: Key, **members: object) -> bytes:
    return http_post("/v1/chat/completions", key.headers, {"model": key.model, "messages": HELLO} | members)
