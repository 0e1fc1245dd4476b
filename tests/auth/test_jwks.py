import json
from collections.abc import Iterator

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.auth.jwks import ADDRESSES_S, FRESH_S, UNKNOWN_S, WELL_KNOWN, Directory
from app.auth.outbound import Session, Unreachable
from tests.tls import Authority, Site
from tests.token_issuer import public

KEY, SHORT = (rsa.generate_private_key(65537, bits) for bits in (2048, 1024))


class Published:
    """An issuer, and a directory whose clock a test turns."""

    def __init__(self, authority: Authority) -> None:
        self.site, self.now = Site(authority), 1_000.0
        self.directory = Directory(lambda: Session(authority.ca_file), lambda: self.now)
        self.says(issuer=self.site.url)
        self.has(public(KEY, kid="k1"))

    def says(self, **metadata) -> None:
        usual = {"jwks_uri": f"{self.site.url}/keys", "end_session_endpoint": f"{self.site.url}/end"}
        self.site.answers[WELL_KNOWN] = 200, usual | metadata

    def has(self, *keys) -> None:
        self.site.answers["/keys"] = 200, {"keys": list(keys)}

    def key(self, kid):
        return self.directory.key(self.site.url, kid)

    def asked(self) -> int:
        return sum(path == "/keys" for path, _ in self.site.asked)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def issuer(authority: Authority) -> Iterator[Published]:
    issuer = Published(authority)
    yield issuer
    issuer.site.stop()


def test_keys_are_fetched_once_a_day(issuer):
    first, again = issuer.key("k1"), issuer.key("k1")
    assert first.public.public_numbers() == again.public.public_numbers() == KEY.public_key().public_numbers()
    assert 1 == issuer.asked()

    issuer.now += FRESH_S
    issuer.key("k1")

    assert 2 == issuer.asked()


def test_a_new_key_is_found_and_an_unknown_one_asked_for_once_a_minute(issuer):
    assert issuer.key("k2") is None
    issuer.has(public(KEY, kid="k1"), public(KEY, kid="k2"))
    assert issuer.key("k2") is None

    issuer.now += UNKNOWN_S

    assert issuer.key("k2") is not None
    assert issuer.key("k3") is None
    assert 2 == issuer.asked()


def test_a_key_that_was_taken_back_counts_no_more(issuer):
    assert issuer.key("k1") is not None
    issuer.has(public(KEY, kid="k2"))
    issuer.now += FRESH_S

    assert issuer.key("k1") is None


def test_what_may_not_sign_is_no_key(issuer):
    curve = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
    other = [public(KEY, kid="encrypts", use="enc"), public(KEY, kid="other", alg="RS512"), public(SHORT, kid="short")]
    issuer.has(*other, curve | {"kid": "curve"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}, "nothing", {})

    assert [] == [kid for kid in ("encrypts", "other", "short", "curve", "secret") if issuer.key(kid)]


def test_an_issuer_that_is_away_is_known_by_what_it_said(issuer):
    issuer.key("k1")
    issuer.now += FRESH_S
    issuer.site.answers.clear()

    assert issuer.key("k1") is not None
    assert issuer.site.url == issuer.directory.metadata(issuer.site.url).issuer


def test_addresses_are_asked_for_once_an_hour(issuer):
    issuer.directory.metadata(issuer.site.url)
    issuer.now += ADDRESSES_S - 1
    issuer.says(issuer=issuer.site.url, end_session_endpoint=f"{issuer.site.url}/another")
    before = issuer.directory.metadata(issuer.site.url).end_session_endpoint

    issuer.now += 1

    assert f"{issuer.site.url}/end" == before
    assert f"{issuer.site.url}/another" == issuer.directory.metadata(issuer.site.url).end_session_endpoint


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": None}, {"jwks_uri": None}, {"jwks_uri": "http://localhost/keys"}, {"issuer": ["https://x"]}],
)
def test_what_names_no_safe_keys_cannot_be_used(issuer, metadata):
    issuer.says(**metadata)

    with pytest.raises(Unreachable):
        issuer.key("k1")


def test_one_that_never_answered_is_unreachable(issuer):
    issuer.site.answers.clear()

    with pytest.raises(Unreachable):
        issuer.directory.metadata(issuer.site.url)


def test_an_end_session_address_over_plain_http_is_none(issuer):
    issuer.says(issuer=issuer.site.url, end_session_endpoint="http://localhost/end")

    assert issuer.directory.metadata(issuer.site.url).end_session_endpoint is None
