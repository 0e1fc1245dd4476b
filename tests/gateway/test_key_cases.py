"""What becomes of secrets: stored, sent on, refused."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis

from app.application import keys
from app.units import utc_now
from tests.factories import (
    PROVIDER_KEY,
    knows,
    make_key,
)
from tests.gateway.answers import error_of, raw
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
    eventually(lambda: not knows(key))
    assert key.chat().status_code == 401

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
    with redis.Redis.from_url(gateway.valkey.url) as client:
        return "\n".join(f"{name!r} {READERS[client.type(name)](client, name)!r}" for name in client.scan_iter())


READERS: dict[Any, Callable[[redis.Redis, Any], object]] = {
    b"string": lambda client, name: client.get(name),
    b"hash": lambda client, name: client.hgetall(name),
    b"zset": lambda client, name: client.zrange(name, 0, -1),
    b"list": lambda client, name: client.lrange(name, 0, -1),
    b"set": lambda client, name: client.smembers(name),
    b"stream": lambda client, name: client.xrange(name),
    b"none": lambda *_: "",
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
