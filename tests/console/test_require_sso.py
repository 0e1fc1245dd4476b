"""Requiring single sign-on, on the page of identity providers; and what the platform's page says of the way around it."""

import pytest

from app.auth import policy
from app.units import utc_now
from tests import directory, people
from tests.console import reading
from tests.second_factor import break_glass_admin, code, enrol

PAGE, REQUIRE, LIFT = "/platform/sign-in", "/platform/sign-in/require-sso", "/platform/sign-in/require-sso/lift"
LOCAL = "/sign-in/local"


@pytest.fixture
def glass(app):
    """The break-glass admin and the secret."""
    assert app.testing
    return break_glass_admin()


@pytest.fixture
def admin(app, glass):
    return glass[0].client(app)


@pytest.fixture
def tested(glass):
    return directory.provider(name="Corp", tested_by=glass[0].user_id, tested_at=utc_now())


def break_the_glass(app, person, secret):
    visitor = people.Browser(app.test_client())
    asked = visitor.post(LOCAL, {"email": person.email, "password": people.PASSWORD})
    answer = visitor.post(f"{LOCAL}/code", reading.form(asked, f"{LOCAL}/code").values(code=code(secret)))
    assert 303 == answer.status_code


def test_after_a_test_it_is_required_and_lifted(admin, glass, tested):
    before = reading.text(admin.get(PAGE))
    required = admin.post(reading.form(admin.get(PAGE), REQUIRE).action)
    page = reading.text(admin.get(PAGE))
    was = policy.requires_sso()
    lifted = admin.post(LIFT)

    assert tested
    assert "a test sign-in of yours within the last 10 minutes, at Corp" in before
    assert [(303, PAGE)] * 2 == [(one.status_code, one.headers["Location"]) for one in (required, lifted)]
    assert f"the local sign-in of {glass[0].email}" in page
    assert (True, False) == (was, policy.requires_sso())


def test_what_is_missing_is_said_and_there_is_no_button(app):
    root = people.person(platform_role="admin").client(app)

    page = root.get(PAGE)
    answer = root.post(REQUIRE)

    assert 2 == reading.text(page).count("missing")
    assert REQUIRE not in page.get_data(as_text=True)
    assert 409 == answer.status_code
    assert "come through a test sign-in yourself" in reading.text(answer)
    assert not policy.requires_sso()


def test_without_a_break_glass_admin_it_is_refused(app):
    root = people.person(platform_role="admin", password=people.PASSWORD)
    directory.provider(tested_by=root.user_id, tested_at=utc_now())

    answer = root.client(app).post(REQUIRE)

    assert 409 == answer.status_code
    assert "has to set up two-factor sign-in first" in reading.text(answer)
    assert not policy.requires_sso()


def test_the_auditor_sees_it_and_changes_nothing(app, glass, tested):
    auditor = people.person(platform_role="auditor").client(app)

    page = auditor.get(PAGE)

    assert glass
    assert tested
    assert "Require single sign-on" in reading.text(page)
    assert REQUIRE not in page.get_data(as_text=True)
    assert [403, 403] == [auditor.post(one).status_code for one in (REQUIRE, LIFT)]


def test_the_only_provider_stays_while_it_is_required(admin, glass, tested):
    policy.require_sso(glass[0].user_id, now=utc_now())

    answer = admin.post(f"{PAGE}/{tested}/disable")

    assert 409 == answer.status_code
    assert "is the only way in" in reading.text(answer)


def test_a_broken_glass_is_shown_on_the_platforms_page(app, admin, glass, tested):
    assert tested
    policy.require_sso(glass[0].user_id, now=utc_now())
    before = reading.text(admin.get("/platform"))
    break_the_glass(app, *glass)

    page = admin.get("/platform")
    refreshed = admin.get("/platform", headers={"HX-Request": "true"})

    assert "used while single sign-on is required" not in before
    assert f"{glass[0].email} from 127.0.0.1" in reading.text(page)
    (entry,) = [one for one in reading.links(page) if "/audit/" in one]
    assert "session.break_glass" in reading.text(admin.get(entry))
    assert glass[0].email not in reading.text(refreshed)


def test_several_are_told_of_as_several(app, admin, glass, tested):
    assert tested
    policy.require_sso(glass[0].user_id, now=utc_now())
    other = people.person(platform_role="admin", password=people.PASSWORD)
    break_the_glass(app, *glass)
    break_the_glass(app, other, enrol(other.user_id))

    page = reading.text(admin.get("/platform"))

    assert "Local accounts were used" in page
    assert all(one.email in page for one in (glass[0], other))
