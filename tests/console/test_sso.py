"""The way out to an identity provider and what may come back, without a browser; the provider publishes what a test lists."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from app.auth import identity_providers, sessions
from app.auth.jwks import WELL_KNOWN
from app.auth.registrations import Registration
from app.console import sso
from app.units import utc_now
from tests import people
from tests.factories import unique
from tests.tls import Authority, Site

PUBLIC = "https://gateway.example.com"
TENANT = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def site(app, authority: Authority) -> Iterator[Site]:
    app.extensions["settings"] = replace(app.extensions["settings"], ca_file=authority.ca_file, public_url=PUBLIC)
    site = Site(authority)
    base = f"{site.url}/{TENANT}"
    names = {"issuer": "v2.0", "authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
    names |= {"end_session_endpoint": "end"}
    site.answers[f"/{TENANT}/v2.0{WELL_KNOWN}"] = 200, {name: f"{base}/{path}" for name, path in names.items()}
    site.answers[f"/{TENANT}/keys"] = 200, {"keys": []}
    yield site
    site.stop()


@pytest.fixture
def entra(site: Site):
    about = Registration(name=unique("corp"), kind="entra", client_id="client", authority=site.url, tenant=TENANT)
    return identity_providers.add(about)


@pytest.fixture
def browser(app):
    return people.Browser(app.test_client())


def cookie_of(answer, name=sso.COOKIE):
    return next(one for one in answer.headers.getlist("Set-Cookie") if one.startswith(f"{name}="))


def test_bc_092_behind_a_proxy_the_address_to_return_to_is_the_public_one(entra, browser):
    answer = browser.get(f"/sign-in/with/{entra}", headers={"X-Forwarded-Proto": "https"})

    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert 303 == answer.status_code
    assert [f"{PUBLIC}/sign-in/callback"] == query["redirect_uri"]
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/sign-in"} <= {
        part.strip() for part in cookie_of(answer).split(";")
    }


@pytest.mark.parametrize("onward", ["https://evil.test", "//evil.test", "/sign-in/callback", "/\\evil.test"])
def test_nobody_is_led_elsewhere_afterwards(entra, app, onward):
    somebody = people.person().client(app)

    answer = somebody.get(f"/sign-in/with/{entra}", query_string={"next": onward})

    assert (303, "/") == (answer.status_code, answer.headers["Location"])


def test_what_comes_back_counts_once_even_when_it_is_refused(entra, browser):
    to = browser.get(f"/sign-in/with/{entra}").headers["Location"]
    state = parse_qs(urlsplit(to).query)["state"][0]

    first = browser.get("/sign-in/callback", query_string={"state": state, "error": "access_denied"})
    again = browser.get("/sign-in/callback", query_string={"state": state, "error": "access_denied"})

    assert (403, 400) == (first.status_code, again.status_code)
    assert "Max-Age=0" in cookie_of(first)


def test_words_of_others_are_shown_only_for_a_sign_in_of_ones_own(entra, browser):
    words = {"error": "call us", "error_description": "Ring 0800 now <b>"}
    browser.get(f"/sign-in/with/{entra}")

    forged = browser.get("/sign-in/callback", query_string=words | {"state": "x"}).get_data(as_text=True)
    to = browser.get(f"/sign-in/with/{entra}").headers["Location"]
    state = parse_qs(urlsplit(to).query)["state"][0]
    own = browser.get("/sign-in/callback", query_string=words | {"state": state}).get_data(as_text=True)

    assert "Ring 0800 now" not in forged
    assert "Ring 0800 now &lt;b&gt;" in own


@pytest.mark.parametrize("value", ["", "x", "é", "AAAA", "a" * 3_000])
def test_a_flow_that_is_not_ours_is_none(browser, value):
    browser.client.set_cookie(sso.COOKIE, value, path="/sign-in")

    assert 400 == browser.get("/sign-in/callback?state=s&code=c").status_code


def test_a_long_way_onward_is_forgotten_and_not_too_large_for_a_cookie(entra, browser):
    answer = browser.get(f"/sign-in/with/{entra}", query_string={"next": "/workspaces?q=" + "x" * 3_000})

    assert len(cookie_of(answer)) < 4_000


def test_signing_out_leads_to_the_providers_own(entra, app, site):
    made = people.person()
    cookie = sessions.start(
        made.user_id, ip="127.0.0.1", user_agent="tests", now=utc_now(), method="sso", provider_id=entra
    )
    somebody = people.Person(made.user_id, made.email, cookie, sessions.form_tokens(cookie)[0]).client(app)

    answer = somebody.post("/sign-out")
    page = somebody.get(answer.headers["Location"]).get_data(as_text=True)

    assert f"/sign-out/with/{entra}" == answer.headers["Location"]
    assert f'content="0; url={site.url}/{TENANT}/end?client_id=client' in page
    assert "post_logout_redirect_uri=https%3A%2F%2Fgateway.example.com%2Fsign-in" in page
    assert sessions.find(cookie, now=utc_now()) is None


def test_signing_out_ends_here_where_the_provider_has_no_sign_out(entra, browser, site):
    site.answers.clear()

    answer = browser.get(f"/sign-out/with/{entra}")

    assert (303, "/") == (answer.status_code, answer.headers["Location"])


def test_nothing_is_asked_of_a_provider_before_somebody_signs_in(entra, app, site):
    admin = people.person(platform_role="admin").client(app)

    for path in ("/sign-in", "/platform/sign-in", f"/platform/sign-in/{entra}"):
        assert admin.get(path).status_code in {200, 303}

    assert [] == site.asked


def test_an_identity_is_linked_from_our_own_pages_alone(entra, app):
    somebody = people.person().client(app)
    path = f"/account/identities/link/{entra}"

    answers = [
        somebody.get(path, headers={"Sec-Fetch-Site": site}) for site in ("cross-site", "same-site", "same-origin")
    ]

    assert [403, 403, 303] == [answer.status_code for answer in answers]


def test_a_provider_is_asked_who_it_is_once_and_not_by_each_visitor(entra, browser, site):
    for _ in range(3):
        assert 303 == browser.get(f"/sign-in/with/{entra}").status_code

    assert [f"/{TENANT}/v2.0{WELL_KNOWN}", f"/{TENANT}/keys"] == [path for path, _ in site.asked]


def test_an_issuer_that_calls_itself_otherwise_is_not_believed(browser, site):
    site.answers[WELL_KNOWN] = site.answers[f"/{TENANT}/v2.0{WELL_KNOWN}"]
    about = Registration(name=unique("okta"), kind="oidc", client_id="client", authority=site.url)
    own = identity_providers.add(about)

    assert "/" == browser.get(f"/sign-in/with/{own}").headers["Location"]
