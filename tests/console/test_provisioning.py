"""Tokens of provisioning, on the page of an identity provider."""

import pytest

from app.auth import scim_tokens
from app.units import new_id, utc_now
from tests import directory, people
from tests.console import reading


@pytest.fixture
def entra(app):
    assert app.testing
    return directory.provider(name="Corp directory")


@pytest.fixture
def admin(app):
    return people.person(platform_role="admin", name="Root").client(app)


def page_of(provider_id):
    return f"/platform/sign-in/{provider_id}"


def tokens_of(provider_id):
    return f"{page_of(provider_id)}/provisioning-tokens"


def make(browser, provider_id):
    form = reading.form(browser.get(page_of(provider_id)), tokens_of(provider_id))
    return browser.post(tokens_of(provider_id), form.values())


def secret_in(answer):
    return next(word for word in reading.text(answer).split() if word.startswith("gw_scim"))


def test_a_token_is_shown_once_and_opens_the_provider(entra, admin):
    made = make(admin, entra)
    secret = secret_in(made)

    later = admin.get(page_of(entra))

    assert entra == scim_tokens.find(secret, now=utc_now()).provider_id
    assert ("no-store", True) == (made.headers["Cache-Control"], 'hx-history="false"' in made.get_data(as_text=True))
    assert "http://localhost/scim/v2" in reading.text(made)
    assert secret not in later.get_data(as_text=True)
    assert all(words in reading.text(later) for words in (f"…{secret[-4:]}", "Root", "http://localhost/scim/v2"))


def test_a_form_sent_twice_makes_one_token(entra, admin):
    form = {"new_id": new_id()}

    first, second = (admin.post(tokens_of(entra), form) for _ in range(2))

    assert (200, 303) == (first.status_code, second.status_code)
    assert 1 == len(scim_tokens.of(entra))


def test_a_revoked_token_opens_nothing_and_stays_on_the_page(entra, admin):
    secret = secret_in(make(admin, entra))
    (token,) = scim_tokens.of(entra)

    answer = admin.post(f"{tokens_of(entra)}/{token.token_id}/revoke")

    assert (303, page_of(entra)) == (answer.status_code, answer.headers["Location"])
    assert scim_tokens.find(secret, now=utc_now()) is None
    assert "revoked" in reading.text(admin.get(page_of(entra)))


def test_a_token_is_revoked_only_below_its_own_provider(entra, admin):
    other = directory.provider()
    make(admin, entra)
    (token,) = scim_tokens.of(entra)

    answers = [
        admin.post(f"{tokens_of(other)}/{token.token_id}/revoke"),
        admin.post(f"{tokens_of(new_id())}", {"new_id": new_id()}),
    ]

    assert [404, 404] == [answer.status_code for answer in answers]
    assert scim_tokens.of(entra)[0].revoked_at is None


def test_the_auditor_sees_the_tokens_and_cannot_change_them(app, entra, admin):
    make(admin, entra)
    auditor = people.person(platform_role="auditor").client(app)

    page = reading.text(auditor.get(page_of(entra)))

    assert "Provisioning" in page
    assert not {"Make token", "Revoke token"} & {words for words in ("Make token", "Revoke token") if words in page}
    assert 403 == auditor.post(tokens_of(entra), {"new_id": new_id()}).status_code
