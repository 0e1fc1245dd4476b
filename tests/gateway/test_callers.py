"""Who may ask for what, and how fast everybody learns of a change."""

import contextlib
import http.client
import time
from datetime import timedelta

import httpx
import pytest

from app.application import keys
from app.units import utc_now
from tests.factories import (
    Key,
    make_key,
    make_model,
    make_provider,
    wait_until_known,
)
from tests.gateway.answers import error_of, together
from tests.gateway_process import Gateway, eventually
from tests.upstream import Upstream


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

    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)) as connection:
        sockets, statuses = [], []
        for _ in range(3):
            connection.request("GET", "/v1/models", headers=key.headers)
            sockets.append(connection.sock)
            statuses.append((answer := connection.getresponse()).status)
            answer.read()

    assert statuses == [200] * 3
    assert len(set(sockets)) == 1


def test_many_unknown_keys_at_once_are_all_judged(gateway: Gateway) -> None:
    def ask(number: int) -> list[int]:
        headers = {"Authorization": f"Bearer gw_{number:08}_{'b' * 32}_cccccc"}
        with httpx.Client(base_url=gateway.url, trust_env=False) as client:
            return [client.get("/v1/models", headers=headers).status_code for _ in range(25)]

    assert together(20, ask) == [[401] * 25] * 20


def test_two_gateways_share_nothing(gateway: Gateway, gateway2: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)

    stranger = gateway2.client.get("/v1/models", headers=key.headers)

    assert stranger.status_code == 401
