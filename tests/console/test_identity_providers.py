from datetime import timedelta

import pytest

from app.auth import identity_providers
from app.units import new_id, utc_now
from app.workspace import workspaces
from tests import directory, people
from tests.factories import unique

TENANT = "11111111-2222-3333-4444-555555555555"
SECRET = "a-secret-that-nobody-reads-again"


@pytest.fixture
def admin(app):
    return people.person(platform_role="admin").client(app)


def form(**fields):
    usual = {"kind": "entra", "tenant": TENANT, "client_id": "client", "accounts": "mapped", "new_id": new_id()}
    return usual | {"name": unique("corp")} | fields


def added(admin, **fields):
    """Add a provider; give its page's address."""
    answer = admin.post("/platform/sign-in", form(**fields))
    assert 303 == answer.status_code, answer.get_data(as_text=True)
    return answer.headers["Location"]


def text(answer):
    return answer.get_data(as_text=True)


def test_a_provider_is_added_and_listed(admin):
    name = unique("corp")

    page = added(admin, name=name, secret=SECRET)

    assert name in text(admin.get("/platform/sign-in"))
    assert SECRET not in text(admin.get(page))
    assert "Stored. Leave it empty to keep it." in text(admin.get(page))


def test_a_form_that_is_wrong_comes_back_with_what_was_typed(admin):
    answer = admin.post("/platform/sign-in", form(name="Corp", tenant="corp.onmicrosoft.com", secret=SECRET))

    assert 422 == answer.status_code
    assert "corp.onmicrosoft.com" in text(answer)
    assert "must be a tenant id" in text(answer)
    assert SECRET not in text(answer)
    assert [] == identity_providers.of_all()


def test_a_day_that_is_none_is_said(admin):
    answer = admin.post("/platform/sign-in", form(secret_expires_on="tomorrow"))

    assert 422 == answer.status_code
    assert "is no date" in text(answer)


def test_an_edit_changes_what_was_typed_and_keeps_the_secret(admin):
    page = added(admin, secret=SECRET)
    home = workspaces.create(unique("home"))

    changes = {"accounts": "default", "default_workspace": home, "default_role": "viewer", "guests": "yes"}
    answer = admin.post(page, form(name="Renamed", **changes))

    (provider,) = identity_providers.of_all()
    about = provider.registration
    assert 303 == answer.status_code
    assert ("Renamed", True, "default", home, "viewer") == (
        about.name,
        about.guests,
        about.accounts,
        about.default_workspace_id,
        about.default_role,
    )
    assert SECRET == identity_providers.secret_of(provider.provider_id)


def test_a_secret_is_dropped_when_that_is_asked(admin):
    page = added(admin, secret=SECRET)

    admin.post(page, form(no_secret="yes"))

    (provider,) = identity_providers.of_all()
    assert not provider.has_secret


def test_the_page_opens_with_what_is_stored(admin):
    tenants = f"{TENANT}\n99999999-2222-3333-4444-555555555555"

    page = text(admin.get(added(admin, tenant="organizations", allowed_tenants=tenants, token_audience="api://gw")))

    assert tenants in page
    assert "api://gw" in page


@pytest.mark.parametrize(("days", "said"), [(-1, "expired on"), (29, "expires on"), (31, None)])
def test_a_secret_that_expires_soon_is_warned_of(admin, days, said):
    day = (utc_now() + timedelta(days=days)).date()

    page = text(admin.get(added(admin, secret=SECRET, secret_expires_on=day.isoformat())))

    assert (said is not None) == ("The client secret exp" in page)
    assert said is None or f"{said} {day}" in page


def test_what_to_type_in_at_the_other_end_is_shown(admin):
    page = text(admin.get(added(admin)))

    for path in ("/sign-in/callback", "/sign-in", "/sign-out/front-channel"):
        assert f"<code>http://localhost{path}</code>" in page


def test_disabling_and_enabling_are_undone_by_each_other(admin):
    page = added(admin)

    admin.post(f"{page}/disable")
    disabled = text(admin.get(page))
    admin.post(f"{page}/enable")

    assert "Disabled: nobody signs in there." in disabled
    assert "Disabled: nobody signs in there." not in text(admin.get(page))


def test_a_disabled_provider_is_not_on_the_sign_in_page(admin, app):
    name = unique("corp")
    page, visitor = added(admin, name=name), people.Browser(app.test_client())
    before = text(visitor.get("/sign-in"))

    admin.post(f"{page}/disable")

    assert f"Sign in with {name}" in before
    assert name not in text(visitor.get("/sign-in"))


def test_the_auditor_reads_and_changes_nothing(app, admin):
    page, auditor = added(admin, secret=SECRET), people.person(platform_role="auditor").client(app)

    shown = auditor.get(page)

    assert 200 == shown.status_code
    assert 'name="client_id"' not in text(shown)
    assert [403, 403, 403] == [auditor.post(f"{page}{path}").status_code for path in ("", "/disable", "/enable")]
    assert [403, 403] == [auditor.get(path).status_code for path in (f"{page}/test", "/platform/sign-in/new")]


def test_a_provider_that_is_away_says_why_to_who_tests_it(admin):
    away = directory.provider(authority="https://localhost:1")

    answer = admin.get(f"/platform/sign-in/{away}/test")

    assert (303, f"/platform/sign-in/{away}") == (answer.status_code, answer.headers["Location"])
    assert "localhost:1" in text(admin.get(answer.headers["Location"]))


def test_what_is_not_there_is_404(admin, app):
    nothing = new_id()

    paths = [f"/platform/sign-in/{nothing}", f"/platform/sign-in/{nothing}/test", f"/sign-in/with/{nothing}"]

    assert [404, 404] == [admin.get(path).status_code for path in paths[:2]]
    assert 404 == people.Browser(app.test_client()).get(paths[2]).status_code
