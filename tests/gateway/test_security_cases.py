"""What must not leak, and what must not be smuggled in."""

import re
from uuid import UUID

import pytest

from app.workspace.names import Invalid
from tests.factories import HELLO, http_post, make_key
from tests.gateway.answers import error_of, raw
from tests.gateway_process import Gateway
from tests.upstream import E, Upstream, hold, stream

PRIVATE = "my bank card is with sk-live-12345 and nobody may know"


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_bc_131_no_prompt_is_ever_logged(gateway: Gateway, upstream: Upstream, streamed: bool) -> None:
    key = make_key(gateway, upstream, timeouts={"first_byte_s": 0.5})
    said = {"error": {"message": f"cannot read: {PRIVATE}", "type": "invalid_request_error"}}
    for script in (stream("yes"), [E(400, said)], [E(500, said)], [hold]):
        upstream.will(*script)

    answers = [key.chat(stream=streamed, messages=[{"role": "user", "content": PRIVATE}]) for _ in range(4)]

    assert [answer.status_code for answer in answers][1:] == [400, 502, 504]
    gateway.settled(4, key)
    for word in ("sk-live-12345", "bank card"):
        assert word not in gateway.log_text()
        assert word not in repr(gateway.rows(key.key_id))
    assert key.secret not in gateway.log_text()


@pytest.mark.parametrize(
    "secret", ["sk-with\nnewline-0123456789", "sk-gehëim-0123456789", "sk-with\rreturn-0123456789"]
)
def test_bc_132_a_credential_that_fits_no_header_is_refused_when_saved(
    gateway: Gateway, upstream: Upstream, secret: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        make_key(gateway, upstream, provider_key=secret)

    assert secret not in str(refusal.value)
    assert secret not in repr(refusal.value)


def test_bc_132_an_address_with_a_password_is_refused_when_saved(gateway: Gateway) -> None:
    with pytest.raises(Invalid) as refusal:
        make_key(gateway, "http://user:hunter2secret@127.0.0.1:9/v1")

    assert "hunter2secret" not in str(refusal.value)


def test_bc_132_a_failed_connection_tells_nobody_the_credential(gateway: Gateway) -> None:
    secret = "sk-of-case-132-0123456789"
    key = make_key(gateway, "http://127.0.0.1:9/v1", provider_key=secret)

    answer = key.chat()

    assert answer.status_code == 502
    assert secret not in answer.text + str(answer.headers)
    assert secret not in gateway.log_text()


HIDDEN = b"GET /v1/models HTTP/1.1\r\nHost: hidden\r\nAuthorization: Bearer KEY\r\nX-Request-ID: smuggled\r\n\r\n"
SMUGGLING = {
    "length and chunked": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
    "two transfer encodings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nX-Length: %d\r\n",
    "xchunked": b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n",
    "chunked, identity": b"Transfer-Encoding: chunked, identity\r\nContent-Length: %d\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: %d\r\n",
    "a signed length": b"Content-Length: +%d\r\n",
}


@pytest.mark.parametrize("framing", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_bc_128_a_hidden_request_is_not_executed(gateway: Gateway, upstream: Upstream, framing: bytes) -> None:
    key = make_key(gateway, upstream)
    hidden = HIDDEN.replace(b"KEY", key.secret.encode())
    body = b"0\r\n\r\n" + hidden

    start = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key.secret.encode() + b"\r\n"
    answer = raw(gateway, start + framing % len(body) + b"\r\n" + body)

    assert re.match(rb"HTTP/1\.1 (400|501) ", answer)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert "smuggled" not in gateway.log_text()
    assert upstream.requests == []


BAD_IDS = {"long": b"x" * 4096, "tab": b"a\tb", "script": b"<script>", "blank": b"a b", "umlaut": "ä".encode()}


@pytest.mark.parametrize("request_id", BAD_IDS.values(), ids=BAD_IDS.keys())
def test_bc_136_a_malformed_request_id_is_not_repeated(gateway: Gateway, upstream: Upstream, request_id: bytes) -> None:
    key = make_key(gateway, upstream)

    request = http_post(
        "/v1/chat/completions", key.headers | {"Connection": "close"}, {"model": "m", "messages": HELLO}
    )
    answer = raw(gateway, request.replace(b"\r\n", b"\r\nX-Request-ID: " + request_id + b"\r\n", 1))

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"x-client-request-id" not in answer.lower()
    assert request_id not in answer
    [row] = gateway.settled(1, key)
    assert row["client_request_id"] is None
    assert b"x-request-id: %s\r\n" % str(row["event_id"]).encode() in answer.lower()
    assert request_id.decode() not in gateway.log_text()


def test_bc_136_a_request_id_of_ten_kilobytes_is_refused_or_dropped(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)

    answer = key.chat(headers={"X-Request-ID": "x" * 10_240})

    assert answer.status_code in (200, 400, 431)
    assert "x" * 200 not in str(answer.headers) + answer.text + gateway.log_text()


def test_bc_136_the_same_request_id_twice_makes_two_rows_with_ids_of_our_own(
    gateway: Gateway, upstream: Upstream
) -> None:
    key = make_key(gateway, upstream)

    answers = [key.chat(headers={"X-Request-ID": "client.id_1-x"}) for _ in range(2)]

    assert [answer.headers["x-client-request-id"] for answer in answers] == ["client.id_1-x"] * 2
    ours = [UUID(answer.headers["x-request-id"]) for answer in answers]
    rows = gateway.settled(2, key)
    assert [row["event_id"] for row in rows] == ours
    assert len(set(ours)) == 2
    assert {row["client_request_id"] for row in rows} == {"client.id_1-x"}
    assert sum(row["billed_cost"] for row in rows) * 100_000 == 42


def test_public_probes_say_their_status_and_no_more(gateway: Gateway) -> None:
    for path in ("/healthz", "/readyz"):
        answer = gateway.client.get(path)

        assert answer.status_code == 200
        assert len(answer.content) < 200
        assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize(
    "path", ["/metrics", "/openapi.json", "/docs", "/debug", "/static/../app/config.py", "/static/%2e%2e/wsgi.py"]
)
def test_nothing_internal_is_served_on_the_public_port(gateway: Gateway, path: str) -> None:
    answer = raw(gateway, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert answer.split(b" ", 2)[1] in (b"404", b"403", b"400")
    assert b"gateway_" not in answer


@pytest.mark.parametrize(
    "path",
    ["//v1/models", "/V1/chat/completions", "/v1/models;x", "/v1/models%2f..%2f..%2fconsole", "http://other/v1/models"],
)
def test_odd_paths_give_nothing_without_a_key(gateway: Gateway, path: str) -> None:
    answer = raw(gateway, f"GET {path} HTTP/1.1\r\nHost: localhost:4000/#@evil\r\nConnection: close\r\n\r\n".encode())

    assert answer.split(b" ", 2)[1] in (b"400", b"401", b"404", b"405", b"308")
    assert b"upstream-model" not in answer


def test_an_error_names_no_stack(gateway: Gateway) -> None:
    answer = gateway.client.get("/v1/usage", params={"from": "'; drop table usage_event"})

    assert answer.status_code == 401
    assert "Traceback" not in answer.text
    assert error_of(answer)["code"] == "invalid_api_key"


def test_every_log_line_is_json_with_the_calls_id(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)

    request_id = key.chat().headers["x-request-id"]

    [line] = [line for line in gateway.log_text().splitlines() if request_id in line]
    assert line.startswith("{")
    assert re.search(r'"(level|levelname)"', line)
