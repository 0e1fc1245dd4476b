"""Webhooks where nothing leaves the company but through its proxy: they go there, and forbidden addresses stay so."""

from base64 import b64encode
from collections.abc import Iterator

import pytest

from app.workspace import outbound
from app.workspace.outbound import CannotSend, Rules
from tests import receivers
from tests.corporate_proxy import CorporateProxy
from tests.tls import Authority, Site

HOST = "hooks.corp.invalid"
URL = f"https://{HOST}/gateway?a=b"
NAMES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("company"), HOST, "127.0.0.1")


@pytest.fixture
def site(authority: Authority) -> Iterator[Site]:
    site = Site(authority)
    site.answers["/gateway?a=b"] = 200, {}
    yield site
    site.stop()


@pytest.fixture
def proxy(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[CorporateProxy]:
    proxy = CorporateProxy(site)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    yield proxy
    proxy.stop()


def test_a_webhook_goes_through_the_proxy_and_trusts_its_authority(
    proxy: CorporateProxy, site: Site, authority: Authority
) -> None:
    assert "200 OK" == outbound.post(URL, b"{}", {"X-Mark": "1"}, Rules(ca_file=authority.ca_file))

    ((path, headers),) = site.asked
    assert ("/gateway?a=b", HOST, "1") == (path, headers["Host"], headers["X-Mark"])
    assert ([f"{HOST}:443"], [b"{}"]) == (proxy.asked, site.bodies)


def test_without_ca_file_the_companys_certificate_is_not_trusted(proxy: CorporateProxy, site: Site) -> None:
    with pytest.raises(CannotSend, match="TLS failed: unable to get local issuer certificate"):
        outbound.post(URL, b"{}", {}, Rules())

    assert proxy.asked
    assert [] == site.bodies


def test_no_proxy_is_heeded(proxy: CorporateProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", ".corp.invalid")

    with pytest.raises(CannotSend, match="the name cannot be resolved"):
        outbound.post(URL, b"{}", {}, Rules())

    assert [] == proxy.asked


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]"])
def test_the_proxy_is_not_asked_for_what_is_inside(proxy: CorporateProxy, host: str) -> None:
    with pytest.raises(CannotSend) as refusal:
        outbound.post(f"https://{host}/", b"{}", {}, Rules())

    assert refusal.value.permanent
    assert [] == proxy.asked


def test_what_the_operator_allows_is_asked_for(proxy: CorporateProxy, site: Site, authority: Authority) -> None:
    rules = Rules(private_allowed=True, ca_file=authority.ca_file)

    assert "200 OK" == outbound.post("https://127.0.0.1:8443/gateway?a=b", b"{}", {}, rules)
    with pytest.raises(CannotSend, match="no message is sent to"):
        outbound.post("https://169.254.169.254/", b"{}", {}, rules)

    assert ["127.0.0.1:8443"] == proxy.asked
    assert ["127.0.0.1:8443"] == [headers["Host"] for _, headers in site.asked]


def test_a_proxy_that_refuses_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with receivers.hook() as stubborn:  # it knows no CONNECT
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{stubborn.port}")
        with pytest.raises(CannotSend, match="no connection: Tunnel connection failed: 501"):
            outbound.post(URL, b"{}", {}, Rules())


def test_plain_http_asks_the_proxy_for_the_whole_address_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with receivers.hook() as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:w%40rd@127.0.0.1:{proxy.port}")
        assert "200 OK" == outbound.post(f"http://{HOST}/a?b=c", b"{}", {}, Rules())

    assert [f"http://{HOST}/a?b=c"] == proxy.paths
    assert HOST == proxy.headers[0]["host"]
    assert f"Basic {b64encode(b'me:w@rd').decode()}" == proxy.headers[0]["proxy-authorization"]


def test_a_proxy_of_another_kind_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")

    with pytest.raises(CannotSend, match="not of the form http://host:port"):
        outbound.post(URL, b"{}", {}, Rules())
