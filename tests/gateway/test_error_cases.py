"""What goes wrong upstream, and what the client is told."""

import json

import pytest

from tests.factories import make_key
from tests.gateway.answers import assert_failed_free, error_of, only_row
from tests.gateway_process import Gateway
from tests.upstream import E, J, Upstream, close, completion, head, hold, reply

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
    upstream.will(head(200, "application/json", length=len(CUT) * 2) + CUT, close)

    answer = key.chat()

    assert answer.status_code == 502
    assert error_of(answer)["message"]
    assert only_row(key)["outcome"] != "done"


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


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
def test_an_upstream_that_closes_kept_connections_costs_no_call(
    gateway: Gateway, upstream: Upstream, pause_s: float
) -> None:
    key = make_key(gateway, upstream)
    upstream.always(J(1, 1), close)

    answers = []
    for _ in range(10):
        answers.append(key.chat().status_code)
        upstream.requests[-1].wait_closed()
        upstream.stopping.wait(pause_s)

    assert answers == [200] * 10
    assert upstream.connections == 10


def test_connections_to_an_upstream_are_kept(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.for_model("upstream-model", J(1, 1))

    assert [key.chat().status_code for _ in range(20)] == [200] * 20

    assert upstream.connections == 1
