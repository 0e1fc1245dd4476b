"""Who may ask: keys known, unknown, expired, revoked, and how fast everybody learns of it."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import redis

from app.application import keys
from app.units import utc_now
from tests.factories import (
    PROVIDER_KEY,
    Key,
    knows,
    make_key,
    make_model,
    make_provider,
    open_connection,
    wait_until_known,
)
from tests.gateway.answers import error_of, raw, together
from tests.gateway_process import Gateway, eventually
from tests.upstream import E, Upstream

CREDENTIAL_HEADERS = {
    "x-api-key": "client-x-api-key",
    "api-key": "client-api-key",
    "Cookie": "session=client-cookie",
    "Proxy-Authorization": "Basic client-proxy",
    "X-Forwarded-For": "203.0.113.7",
    "X-Real-IP": "203.0.113.8",
    "Forwarded": "for=203.0.113.9",
}
SENT_UPSTREAM = {
    "host",
    "authorization",
    "content-type",
    "content-length",
    "accept",
    "accept-encoding",
    "user-agent",
    "connection",
}


def test_bc_079_no_secret_is_stored_or_logged(gateway: Gateway, upstream: Upstream) -> None:
    provider_key = "sk-provider-of-case-079-abcdef"
    key = make_key(gateway, upstream, provider_key=provider_key)
    upstream.always(E(200, {"choices": [{"message": {"content": "ok"}}], "usage": {"prompt_tokens": 1}}))
    upstream.will(E(400, {"error": {"message": f"bad key {provider_key}"}}))

    statuses = [key.chat().status_code for _ in range(21)]
    with gateway.services():
        keys.revoke(key.workspace_id, key.key_id)
    eventually(lambda: key.chat().status_code == 401)

    assert statuses == [400] + [200] * 20
    gateway.settled(21, key)
    for place in (database_text(gateway), redis_text(gateway), gateway.log_text()):
        assert key.secret not in place
        assert key.secret.split("_")[2] not in place
        assert provider_key not in place


def database_text(gateway: Gateway) -> str:
    """Everything in every table."""
    tables = gateway.sql("select tablename from pg_tables where schemaname = 'public'")
    rows = (row for table in tables for row in gateway.sql(f'select t::text as row from "{table["tablename"]}" t'))
    return "\n".join(row["row"] for row in rows)


def redis_text(gateway: Gateway) -> str:
    """Everything in Redis: names and what they hold."""
    return "\n".join(
        f"{name} {READERS[str(gateway.redis.type(name))](gateway.redis, name)}" for name in gateway.redis.scan_iter()
    )


READERS: dict[str, Callable[[redis.Redis, Any], object]] = {
    "string": lambda client, name: client.get(name),
    "hash": lambda client, name: client.hgetall(name),
    "zset": lambda client, name: client.zrange(name, 0, -1),
    "list": lambda client, name: client.lrange(name, 0, -1),
    "set": lambda client, name: client.smembers(name),
    "stream": lambda client, name: client.xrange(name),
    "none": lambda *_: "",
}


def test_bc_080_every_bad_key_gets_the_same_answer(gateway: Gateway, upstream: Upstream) -> None:
    expired = make_key(gateway, upstream, expires_at=utc_now() + timedelta(seconds=2))
    revoked = make_key(gateway, upstream)
    with gateway.services():
        keys.revoke(revoked.workspace_id, revoked.key_id)
    unknown = {"Authorization": "Bearer gw_aaaaaaaa_" + "b" * 32 + "_cccccc"}
    eventually(lambda: not knows(expired) and not knows(revoked))

    answers = [gateway.client.get("/v1/models", headers=h) for h in (unknown, expired.headers, revoked.headers)]

    assert [answer.status_code for answer in answers] == [401] * 3
    assert len({str(error_of(answer)) for answer in answers}) == 1
    assert error_of(answers[0])["code"] == "invalid_api_key"
    for word in ("select", "api_key_", "key_index", "hash", "gw_"):
        assert word not in answers[0].text.lower().replace("invalid_api_key", "")


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_bc_081_the_upstream_sees_its_own_credential_and_nothing_of_the_clients(
    gateway: Gateway, upstream: Upstream, streamed: bool
) -> None:
    key = make_key(gateway, upstream)

    key.chat(stream=streamed, headers=CREDENTIAL_HEADERS)

    [request] = upstream.requests
    assert [v for n, v in request.headers if n == "authorization"] == [f"Bearer {PROVIDER_KEY}"]
    assert set(dict(request.headers)) <= SENT_UPSTREAM
    for value in (*CREDENTIAL_HEADERS.values(), key.secret):
        assert value.encode() not in request.head + request.body


@pytest.mark.parametrize(
    "authorization",
    [
        b"Bearer ' OR '1'='1",
        b"Bearer sk-x'; SELECT pg_sleep(5)--",
        b"Bearer",
        b"Bearer ",
        b"Bearer  k",
        b"bearer k",
        b"Basic Zzo=",
        b"Bearer \xff\xfe",
        b"Bearer " + b"x" * 100_000,
    ],
    ids=["or", "sleep", "none", "blank", "two spaces", "lower", "basic", "bytes", "long"],
)
def test_bc_090_no_header_is_more_than_a_wrong_key(gateway: Gateway, authorization: bytes) -> None:
    since = time.monotonic()
    answer = raw(
        gateway,
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: " + authorization + b"\r\n\r\n",
    )
    took = time.monotonic() - since

    status = int(answer.split(b" ", 2)[1])
    assert status in ((400, 431) if len(authorization) > 8192 else (401,))
    assert status != 401 or b'"invalid_api_key"' in answer
    assert took < 0.5


def test_bc_090_the_scheme_may_be_written_in_lower_case(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)

    answer = gateway.client.get("/v1/models", headers={"Authorization": f"bearer {key.secret}"})

    assert answer.status_code == 200


def test_no_key_at_all_is_not_authenticated(gateway: Gateway) -> None:
    answer = gateway.client.post("/v1/chat/completions", json={"model": "m"})

    assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")


def test_an_expired_key_is_refused(gateway: Gateway, upstream: Upstream) -> None:
    expires_at = utc_now() + timedelta(seconds=3)
    key = make_key(gateway, upstream, expires_at=expires_at)

    before = key.chat().status_code
    eventually(lambda: utc_now() >= expires_at)

    assert (before, key.chat().status_code) == (200, 401)


def test_a_management_key_cannot_call_models(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, kind="management", known=False)

    eventually(lambda: gateway.client.get("/v1/models", headers=key.headers).status_code in (401, 403))
    answer = key.chat()

    assert answer.status_code in (401, 403)
    assert error_of(answer)["message"]
    assert upstream.requests == []


def test_a_key_may_ask_only_for_its_models(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, allowed=["m"])
    with gateway.services():
        make_model(key.workspace_id, key.provider_id, "other")
        make_model(key.workspace_id, key.provider_id, "m2")
    open_key = make_key(gateway, upstream)

    listed = gateway.client.get("/v1/models", headers=key.headers).json()["data"]
    refused = key.chat(model="other")

    assert [model["id"] for model in listed] == ["m"]
    assert refused.status_code in (403, 404)
    assert key.chat(model="M").status_code in (403, 404)
    assert open_key.chat(model="other").status_code == 404
    assert [key.chat().status_code, len(upstream.requests)] == [200, 1]


def test_a_new_key_and_a_revoked_one_are_known_to_all_within_a_second(gateway2: Gateway, upstream: Upstream) -> None:
    fresh = make_key(gateway2, upstream, known=False)
    wait_a_second()
    after_making = together(20, lambda _: status_of(fresh))

    with gateway2.services():
        keys.revoke(fresh.workspace_id, fresh.key_id)
    wait_a_second()
    after_revoking = together(20, lambda _: status_of(fresh))

    assert (after_making, after_revoking) == ([200] * 20, [401] * 20)


def wait_a_second() -> None:
    since = time.monotonic()
    eventually(lambda: time.monotonic() - since >= 1)


def status_of(key: Key) -> int:
    """Ask on a connection of its own, so that both processes are asked."""
    with httpx.Client(base_url=key.gateway.url, trust_env=False) as client:
        return client.get("/v1/models", headers=key.headers).status_code


def test_a_changed_provider_key_is_used_at_once(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    with gateway.services():
        other = make_provider(key.workspace_id, upstream, provider_key="sk-other")
        make_model(key.workspace_id, other, "n")
    wait_until_known(key.with_model("n"))

    key.chat(model="n")

    assert upstream.requests[-1].header("authorization") == "Bearer sk-other"


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions", "/v1/v1/chat/completions"])
def test_a_base_address_with_or_without_v1_works(gateway: Gateway, upstream: Upstream, path: str) -> None:
    key = make_key(gateway, upstream)

    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    answer = gateway.client.post(path, json=body, headers=key.headers)

    assert answer.status_code == 200
    assert upstream.requests[0].path == "/v1/chat/completions"


def test_one_connection_serves_many_calls(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    request = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key.secret}\r\n\r\n".encode()

    with open_connection(gateway) as connection:
        connection.sendall(request)
        first = connection.recv(65536)
        connection.sendall(request)
        second = connection.recv(65536)

    assert [answer.split(b" ", 2)[1] for answer in (first, second)] == [b"200", b"200"]
