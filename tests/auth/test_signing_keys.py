"""Public keys of issuers: fetched once, kept, asked for again; what cannot sign is left out."""

import base64
from collections.abc import Iterator

import gevent
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from app.auth.signing_keys import FRESH_S, RETRY_S, UNKNOWN_S, SigningKeys
from app.auth.workloads import Refused
from app.errors import Unavailable
from tests.token_issuer import Issuer, IssuerServer

SHORT = rsa.generate_private_key(65537, 1024).public_key().public_numbers()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(clock: Clock) -> SigningKeys:
    return SigningKeys(clock=clock)


@pytest.fixture(scope="module")
def server() -> Iterator[IssuerServer]:
    server = IssuerServer()
    yield server
    server.stop()


@pytest.fixture
def issuer(server: IssuerServer) -> Issuer:
    return server.issuer()


def find(known: SigningKeys, issuer: Issuer, kid: str) -> object:
    return known.find(f"{issuer.base}/.well-known/openid-configuration", kid).public


def test_keys_are_fetched_when_they_are_needed_and_then_kept(known: SigningKeys, issuer: Issuer) -> None:
    assert 0 == issuer.asked

    found = [find(known, issuer, issuer.newest) for _ in range(3)]

    assert found == [issuer.keys[issuer.newest].public_key()] * 3
    assert 1 == issuer.asked


def test_a_key_that_is_not_there_has_the_issuer_asked_once_a_minute(
    known: SigningKeys, issuer: Issuer, clock: Clock
) -> None:
    find(known, issuer, issuer.newest)
    fresh = issuer.rotate()

    for seconds in (1.0, UNKNOWN_S - 1.1):
        clock.now += seconds
        with pytest.raises(Refused, match=r"\(kid\)"):
            find(known, issuer, fresh)
    before = issuer.asked
    clock.now += 0.2

    assert issuer.keys[fresh].public_key() == find(known, issuer, fresh)
    assert (1, 2) == (before, issuer.asked)


def test_after_a_day_keys_are_fetched_anew_while_the_old_ones_go_on(
    known: SigningKeys, issuer: Issuer, clock: Clock
) -> None:
    old = issuer.newest
    find(known, issuer, old)
    issuer.rotate(keep=False)
    clock.now += FRESH_S

    assert find(known, issuer, old)
    gevent.sleep(0)
    assert 1 == known.dropped

    with pytest.raises(Refused):
        find(known, issuer, old)


def test_what_was_fetched_outlives_an_issuer_that_is_away(known: SigningKeys, issuer: Issuer, clock: Clock) -> None:
    find(known, issuer, issuer.newest)
    issuer.away = True

    for _ in range(3):
        clock.now += FRESH_S
        assert find(known, issuer, issuer.newest)
        gevent.sleep(0)

    assert 3 == issuer.refused
    assert 0 == known.dropped


def test_an_issuer_that_was_never_heard_of_is_asked_again_soon(
    known: SigningKeys, issuer: Issuer, clock: Clock
) -> None:
    issuer.away = True
    with pytest.raises(Unavailable):
        find(known, issuer, issuer.newest)
    issuer.away = False

    clock.now += RETRY_S - 0.1
    with pytest.raises(Unavailable):
        find(known, issuer, issuer.newest)
    clock.now += 0.1

    assert find(known, issuer, issuer.newest)


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"alg": "RS512"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"n": "AQAB"},
        {"n": base64.urlsafe_b64encode(SHORT.n.to_bytes(128)).decode().rstrip("=")},
        {"n": 5},
        {"kid": None},
        {"e": None},
    ],
)
def test_a_key_that_must_not_sign_is_left_out(known: SigningKeys, issuer: Issuer, change: dict[str, object]) -> None:
    odd, good = issuer.newest, issuer.rotate()
    issuer.odd[odd] = change

    with pytest.raises(Refused):
        find(known, issuer, odd)
    assert find(known, issuer, good)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"jwks_uri": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "nowhere"},
        {"jwks_uri": "http://[::1"},
    ],
)
def test_an_issuer_that_says_nothing_of_use_is_away(known: SigningKeys, issuer: Issuer, document: object) -> None:
    issuer.instead = document

    with pytest.raises(Unavailable):
        find(known, issuer, issuer.newest)
    assert 0 == issuer.asked


def test_keys_over_http_are_not_taken_from_an_issuer_with_tls(
    tmp_path_factory: pytest.TempPathFactory, issuer: Issuer, clock: Clock
) -> None:
    safe = IssuerServer(tmp_path_factory.mktemp("tls"))
    secured = safe.issuer()
    known = SigningKeys(safe.ca_file, clock)
    secured.instead = {"jwks_uri": f"{issuer.base}/keys"}

    with pytest.raises(Unavailable):
        find(known, secured, issuer.newest)
    secured.instead = None
    clock.now += RETRY_S

    assert find(known, secured, secured.newest)
    assert 0 == issuer.asked
    safe.stop()
