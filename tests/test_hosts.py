import pytest

from app.console import guard
from app.hosts import MOST_SPELLINGS, Hosts
from tests import people

NAMES = frozenset({"gateway.test", "[::1]"})
EVIL = "evil.test"


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("gateway.test", True),
        ("Gateway.TEST:8443", True),
        ("gateway.test.", True),
        ("[::1]:8080", True),
        ("evil.test", False),
        ("gateway.test.evil.test", False),
        ("evilgateway.test", False),
        ("gateway.test@evil.test", False),
        ("evil.test#@gateway.test", False),
        ("gateway.test/x", False),
        ("gateway.test:80:80", False),
        ("gateway.test, evil.test", False),
        ("", False),
        (None, False),
    ],
)
def test_only_own_names_are_answered_whatever_the_port(host, ours):
    hosts = Hosts(NAMES)

    assert ours == hosts.answer(host)
    assert ours == (host in hosts.known)


@pytest.mark.parametrize(("host", "ours"), [("any.test:1", True), (None, True), ("a/b", False), ("a b", False)])
def test_without_names_every_well_formed_one_is_answered(host, ours):
    assert ours == Hosts(frozenset()).answer(host)


def test_what_is_remembered_of_strangers_has_an_end():
    hosts = Hosts(frozenset())

    assert all(hosts.answer(f"{number}.test") for number in range(MOST_SPELLINGS + 50))
    assert MOST_SPELLINGS == len(hosts.known)


@pytest.fixture
def named(app):
    """The app under the name of gateway.test."""
    app.hosts = Hosts(NAMES)
    return app


@pytest.mark.parametrize("path", ["/sign-in", "/", "/nowhere", "/static/nothing.css"])
def test_a_browser_that_asks_for_another_host_gets_a_page(named, path):
    answer = named.test_client().get(path, headers={"Host": EVIL, "Accept": "text/html"})

    assert 400 == answer.status_code
    assert "This host name is not answered here." in answer.get_data(as_text=True)
    assert EVIL not in answer.get_data(as_text=True)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/models", "/v1/nope", "/chat/completions"])
def test_a_program_that_asks_for_another_host_gets_json(named, path):
    answer = named.test_client().get(path, headers={"Host": EVIL})

    assert (421, "caller_misdirected") == (answer.status_code, answer.headers["x-gateway-error"])
    assert "not answered here" in answer.get_json()["error"]["message"]


def test_a_session_is_worth_nothing_at_another_host(named):
    signed_in = {"Cookie": f"{guard.SESSION_COOKIE}={people.person(platform_role='admin').cookie}"}
    client = named.test_client(use_cookies=False)

    elsewhere = client.get("/workspaces", headers=signed_in | {"Host": EVIL, "Accept": "text/html"})
    assert 400 == elsewhere.status_code
    assert 200 == client.get("/workspaces", headers=signed_in | {"Host": "gateway.test"}).status_code


def test_load_balancers_ask_by_address(named):
    assert 200 == named.test_client().get("/healthz", headers={"Host": "10.1.2.3:8080"}).status_code
