"""Who a request comes from, behind proxies and without one, and which names are answered."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.application import workspace_settings
from app.extensions import transaction
from app.networks import Networks
from app.units import PLATFORM_ID
from tests import people
from tests.console import reading
from tests.factories import HELLO, Key, make_key
from tests.gateway.answers import error_of, raw
from tests.gateway_process import Gateway, eventually
from tests.upstream import Upstream

PROXY, DIRECT = "127.0.0.2", "127.0.0.1"
INSIDE, OUTSIDE = "203.0.113.7", "198.51.100.9"
NAME = "gateway.test"


@pytest.fixture(scope="module")
def named(servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway behind a proxy at 127.0.0.2, with names of its own."""
    environment = {"TRUSTED_PROXIES": f"{PROXY}/32", "ALLOWED_HOSTS": f"{NAME} {DIRECT}"}
    gateway = Gateway(servers.create(), tmp_path_factory.mktemp("named"), environment=environment)
    yield gateway
    gateway.stop()
    servers.drop(gateway.database)


@contextlib.contextmanager
def coming(gateway: Gateway, peer: str, **headers: str) -> Iterator[httpx.Client]:
    """Connect from an address of this machine."""
    transport = httpx.HTTPTransport(local_address=peer)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(base_url=gateway.url, transport=transport, headers=named, trust_env=False) as client:
        yield client


def chat(key: Key, peer: str, **headers: str) -> httpx.Response:
    with coming(key.gateway, peer, **headers) as client:
        body = {"model": key.model, "messages": HELLO}
        return client.post("/v1/chat/completions", json=body, headers=key.headers)


def limit(key: Key, *networks: str) -> None:
    with key.gateway.services():
        workspace_settings.save_networks(key.workspace_id, Networks.of(networks))


def limited(key: Key) -> bool:
    return chat(key, DIRECT).status_code == 403


def test_a_workspaces_keys_work_from_its_networks_alone(named: Gateway, upstream: Upstream) -> None:
    key = make_key(named, upstream)
    limit(key, "203.0.113.0/24")
    eventually(lambda: limited(key), 5)
    seen = len(upstream.requests)

    inside = chat(key, PROXY, X_Forwarded_For=f"{OUTSIDE}, {INSIDE}")
    outside = chat(key, PROXY, X_Forwarded_For=f"{INSIDE}, {OUTSIDE}")
    direct = chat(key, DIRECT, X_Forwarded_For=INSIDE)

    assert 200 == inside.status_code
    for answer, address in ((outside, OUTSIDE), (direct, DIRECT)):
        assert (403, "policy_network_not_allowed") == (answer.status_code, answer.headers["x-gateway-error"])
        assert "network_not_allowed" == error_of(answer)["code"]
        assert f"from {address}." in error_of(answer)["message"]
    assert seen + 1 == len(upstream.requests)
    named.settled(len([inside]) + seen, key)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/m", "/v1/usage"])
def test_what_a_key_may_read_it_reads_from_its_networks_alone(named: Gateway, upstream: Upstream, path: str) -> None:
    key = make_key(named, upstream)
    limit(key, "203.0.113.0/24")
    eventually(lambda: limited(key), 5)

    answers = []
    for address in (INSIDE, OUTSIDE):
        with coming(named, PROXY, X_Forwarded_For=address) as client:
            answers.append(client.get(path, headers=key.headers).status_code)

    assert [200, 403] == answers


def test_a_change_of_networks_holds_within_a_second(named: Gateway, upstream: Upstream) -> None:
    key = make_key(named, upstream)

    limit(key, "10.0.0.0/8")
    began = time.monotonic()
    eventually(lambda: limited(key), 5)
    took_s = time.monotonic() - began
    limit(key)
    eventually(lambda: not limited(key), 5)

    assert took_s < 1


def test_bc_130_sessions_and_audit_name_the_true_client(named: Gateway) -> None:
    with named.services():
        email = people.person(password=people.PASSWORD).email

    sign_in(named, email, DIRECT, X_Forwarded_For=INSIDE)
    sign_in(named, email, PROXY, X_Forwarded_For=f"{OUTSIDE}, {INSIDE}")

    with named.services(), transaction(PLATFORM_ID) as session:
        asked = "select ip from console_session join user_account using (user_id) where email = :email"
        addresses = session.scalars(text(f"{asked} order by console_session.created_at"), {"email": email}).all()
    assert [DIRECT, INSIDE] == addresses[-2:]


def sign_in(gateway: Gateway, email: str, peer: str, **headers: str) -> httpx.Response:
    with coming(gateway, peer, **headers) as client:
        token = dict(reading.form(client.get("/sign-in").text, "/sign-in").fields)["csrf_token"]
        fields = {"email": email, "password": people.PASSWORD, "csrf_token": token}
        answer = client.post("/sign-in", data=fields)
    assert 303 == answer.status_code
    return answer


def test_bc_092_only_a_trusted_proxy_says_that_it_was_https(named: Gateway) -> None:
    said = {}
    for peer in (PROXY, DIRECT):
        with coming(named, peer, X_Forwarded_Proto="https", Host=NAME) as client:
            said[peer] = client.get("/sign-in")

    assert "; Secure" in said[PROXY].headers["Set-Cookie"]
    assert "max-age=31536000" == said[PROXY].headers["Strict-Transport-Security"]
    assert "; Secure" not in said[DIRECT].headers["Set-Cookie"]
    assert "Strict-Transport-Security" not in said[DIRECT].headers


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("evil.test", "/v1/models", 421),
        ("evil.test", "/sign-in", 421),
        (f"{NAME}:4000/#@evil", "/v1/models", 400),
        (f"evil.test@{NAME}", "/v1/models", 400),
        ("", "/v1/models", 400),
        (f"{NAME}.evil.test", "/v1/models", 421),
        ("evil.test", "/healthz", 200),
        ("10.1.2.3:8080", "/readyz", 200),
        (f"{NAME}:8443", "/v1/models", 401),
        (NAME.upper(), "/v1/models", 401),
        (DIRECT, "/sign-in", 200),
    ],
)
def test_bc_127_only_own_names_are_answered(named: Gateway, host: str, path: str, status: int) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"

    answer = raw(named, request.encode())

    assert status == int(answer.split()[1])


def test_bc_127_an_absolute_address_does_not_stand_for_the_host(named: Gateway) -> None:
    for target in (f"http://{NAME}/workspaces", "http://other/workspaces"):
        answer = raw(named, f"GET {target} HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n".encode())

        assert int(answer.split()[1]) in {400, 421}


def test_a_browser_at_another_host_gets_a_page(named: Gateway) -> None:
    answer = named.client.get("/sign-in", headers={"Host": "evil.test", "Accept": "text/html"})

    assert 400 == answer.status_code
    assert "This host name is not answered here." in answer.text
    assert "Set-Cookie" not in answer.headers
