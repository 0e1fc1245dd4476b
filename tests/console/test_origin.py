"""Addresses that lead to us, and those that lead elsewhere."""

from dataclasses import replace

import pytest

from app.console import guard, origin
from app.workspace import workspaces
from tests import people
from tests.console import reading
from tests.factories import unique

PUBLIC = "https://gateway.example.com"


@pytest.fixture
def public(app):
    app.extensions["settings"] = replace(app.extensions["settings"], public_url=PUBLIC)
    return app


@pytest.fixture
def visitor(app):
    return people.Browser(app.test_client())


@pytest.mark.parametrize(
    "target",
    [
        "//evil.test",
        "///evil.test",
        "////evil.test",
        "/\\evil.test",
        "\\/evil.test",
        "\\\\evil.test",
        "/\\/evil.test",
        "https:evil.test",
        "https:/evil.test",
        "https:///evil.test",
        "HTTPS://evil.test",
        "https://gateway.example.com@evil.test/",
        "//gateway.example.com@evil.test/",
        "//gateway.example.com:443@evil.test",
        "@evil.test",
        "evil.test",
        "evil.test/w/",
        "javascript:alert(1)",
        "javascript://%0aalert(1)",
        "data:text/html,x",
        "/%2f%2fevil.test",
        "/%2fevil.test",
        "%2f%2fevil.test",
        "/%5cevil.test",
        "/%252fevil.test",
        "/%25252f%2fevil.test",
        "/%09/evil.test",
        "/\t/evil.test",
        "/\n/evil.test",
        "/\r\n/evil.test",
        "/\x00/evil.test",
        "/\x7f/evil.test",
        "/%00",
        "/%0d%0aSet-Cookie:%20a=b",
        "\t//evil.test",
        " //evil.test",
        "/ /evil.test",
        "\u00a0//evil.test",
        "/\u2028evil.test",
        "/\u202eevil.test",
        "?next=//evil.test",
        "#//evil.test",
        "http://[",
        "//[",
        "/sign-in",
        "/sign-in?next=/sign-in",
        "/sign-out",
        "",
    ],
)
def test_what_may_lead_elsewhere_leads_to_the_start(target):
    assert "/" == origin.own_path(target)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/workspaces",
        "/w/0197/models?q=a%20b&after=%2F%2Fx",
        "/w/0197/models?q=https://evil.test",
        "/w/0197/usage?from=2026-01-01#day",
        "/w/0197/a%20b",
        "/@evil.test",
        "/w/x/../y",
    ],
)
def test_a_path_of_ours_stays_as_it_is(target):
    assert target == origin.own_path(target)


def test_bc_130_links_are_below_the_public_address_whatever_the_client_says(public):
    workspace_id = workspaces.create(unique("acme"))
    owner = people.member(workspace_id, "owner")
    page, to = owner.client(public).get(f"/w/{workspace_id}/members/invite"), f"/w/{workspace_id}/members/invite"
    told = {"Host": "evil.test", "X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test"}

    answer = public.test_client(use_cookies=False).post(
        to,
        data=reading.form(page, to).values(email="jane@corp.test", role="viewer", csrf_token=owner.form_token),
        headers=told | {"Cookie": f"{guard.SESSION_COOKIE}={owner.cookie}"},
    )

    assert f"{PUBLIC}/join/{workspace_id}/" in answer.get_data(as_text=True)
    assert "evil.test" not in answer.get_data(as_text=True)


def test_without_a_public_address_links_are_where_the_request_came_in(app):
    with app.test_request_context("/x", base_url="http://gateway.internal:8080"):
        assert "http://gateway.internal:8080/join" == origin.absolute("/join")


@pytest.mark.parametrize("path", ["/sign-in", "/workspaces"])
def test_bc_092_over_https_cookies_are_secure_and_hsts_is_said(visitor, path):
    answer, plain = visitor.get(path, base_url="https://localhost"), visitor.get(path)

    assert "max-age=31536000" == answer.headers["Strict-Transport-Security"]
    assert all("; Secure" in cookie for cookie in answer.headers.getlist("Set-Cookie"))
    assert "Strict-Transport-Security" not in plain.headers
    assert all("; Secure" not in cookie for cookie in plain.headers.getlist("Set-Cookie"))


def test_bc_092_a_public_address_with_https_is_enough_for_it(public, visitor):
    assert public.testing
    email = people.person(password=people.PASSWORD).email
    page = visitor.get("/sign-in")

    answer = visitor.post("/sign-in", {"email": email, "password": people.PASSWORD})

    assert 303 == answer.status_code
    for one in (page, answer):
        assert "max-age=31536000" == one.headers["Strict-Transport-Security"]
        assert one.headers.getlist("Set-Cookie")
        assert all("; Secure" in cookie for cookie in one.headers.getlist("Set-Cookie"))
