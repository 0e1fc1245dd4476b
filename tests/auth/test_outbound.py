"""Where nothing leaves the company but through its proxy, which signs for everybody: signing in and tokens work there."""

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from app.auth import signing_keys
from app.auth.jwk_sets import WELL_KNOWN
from app.auth.outbound import Session, Unreachable
from app.auth.signing_keys import CannotFetch
from tests.corporate_proxy import CorporateProxy
from tests.tls import Authority, Site
from tests.token_issuer import public

HOST = "login.corp.invalid"
ISSUER = f"https://{HOST}"
START = """
import socket, sys
asked = []
sys.addaudithook(lambda event, about: asked.append((event, about)) if event in WATCHED else None)
from app import create_app
app = create_app()
from app.auth import oidc
said = [event for event, _ in asked]
socket.getaddrinfo("localhost", 1)
print(said, [event for event, _ in asked])
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("company"), HOST)


@pytest.fixture
def proxy(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[CorporateProxy]:
    site = Site(authority)
    site.answers[WELL_KNOWN] = 200, {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}
    site.answers["/keys"] = 200, {"keys": [public(rsa.generate_private_key(65537, 2048), kid="k1")]}
    proxy = CorporateProxy(site)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield proxy
    proxy.stop()
    site.stop()


def trusting(ca_file: Path) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    context.load_verify_locations(ca_file)
    return context


def test_a_sign_in_goes_through_the_proxy_and_trusts_its_authority(proxy, authority):
    with Session(authority.ca_file) as session:
        assert ISSUER == session.json(ISSUER + WELL_KNOWN)["issuer"]

    assert [f"{HOST}:443"] == proxy.asked


def test_without_ca_file_the_companys_certificate_is_not_trusted(proxy):
    with Session() as session, pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        session.json(ISSUER + WELL_KNOWN)

    assert proxy.asked


def test_the_keys_of_tokens_go_through_the_proxy_and_trust_its_authority(proxy, authority):
    assert ["k1"] == list(signing_keys.fetch(ISSUER + WELL_KNOWN, trusting(authority.ca_file)))
    with pytest.raises(CannotFetch, match="CERTIFICATE_VERIFY_FAILED"):
        signing_keys.fetch(ISSUER + WELL_KNOWN, httpx.create_ssl_context())

    assert {f"{HOST}:443"} == set(proxy.asked)


def test_no_proxy_is_heeded(proxy, monkeypatch):
    monkeypatch.setenv("NO_PROXY", ".corp.invalid")

    with Session() as session, pytest.raises(Unreachable):
        session.json(ISSUER + WELL_KNOWN)

    assert [] == proxy.asked


def test_an_app_that_starts_asks_nobody(tmp_path):
    watched = "WATCHED = {'socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname'}\n"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_"))}
    environment |= {"SECRET_KEY": "a secret key for this test only, 32+", "GATEWAY_HOME": str(tmp_path)}
    environment |= {"DATABASE_URL": "postgresql://a@db.corp.invalid/a", "REDIS_URL": "redis://redis.corp.invalid/0"}
    environment |= {"DATABASE_OWNER_URL": "postgresql://o@db.corp.invalid/a"}
    environment |= {"DATABASE_INGEST_URL": "postgresql://i@db.corp.invalid/a"}

    said = subprocess.run(
        [sys.executable, "-c", watched + START], env=environment, capture_output=True, text=True, check=True, timeout=60
    )

    assert "[] ['socket.getaddrinfo']" == said.stdout.strip()
