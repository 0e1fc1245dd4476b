import pytest

from app.application import applications, keys
from app.units import PLATFORM_ID
from app.workspace import revisions, workspaces
from tests import people
from tests.console import reading
from tests.factories import unique

HTMX = {"HX-Request": "true"}


@pytest.fixture
def admin(app, acme):
    return people.member(acme, "admin").client(app)


def root(workspace_id):
    return f"/w/{workspace_id}/settings"


def test_name_and_zone_are_changed_and_the_proxies_are_told(acme, admin):
    keys.create(acme, applications.create(acme, "chatbot"), "ci", models=["*"])
    before, name = revisions.current()[1], unique("renamed")
    form = reading.form(admin.get(root(acme)), root(acme))

    answer = admin.post(root(acme), form.values(name=name, timezone="Asia/Kathmandu"))

    found = workspaces.get(acme)
    assert 303 == answer.status_code
    assert (name, "Asia/Kathmandu") == (found.name, found.timezone)
    assert before < revisions.current()[1]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": ""}, "must have 1 to 200 characters"),
        ({"name": "taken"}, "already"),
        ({"timezone": "Mars/Olympus"}, "there is no time zone"),
        ({"timezone": ""}, "there is no time zone"),
        ({"timezone": "../../etc/passwd"}, "there is no time zone"),
    ],
)
def test_bc_109_a_problem_stands_beside_its_field(acme, admin, fields, problem):
    workspaces.create("taken")
    before = workspaces.get(acme)

    answer = admin.post(root(acme), {"name": before.name, "timezone": "UTC"} | fields, headers=HTMX)

    assert answer.status_code == 422
    assert not reading.is_whole_page(answer)
    assert problem in reading.text(answer)
    assert before == workspaces.get(acme)


@pytest.mark.parametrize(("name", "zone"), [("renamed", "Mars/Olympus"), ("taken", "Asia/Tokyo")])
def test_both_are_changed_or_neither(acme, admin, name, zone):
    workspaces.create("taken")
    before, revision = workspaces.get(acme), revisions.current()

    admin.post(root(acme), {"name": name, "timezone": zone})

    assert (before, revision) == (workspaces.get(acme), revisions.current())


@pytest.mark.parametrize("role", ["viewer", "billing", "developer"])
def test_others_see_the_settings_and_may_not_change_them(app, acme, role):
    before, browser = workspaces.get(acme), people.member(acme, role).client(app)

    page, answer = browser.get(root(acme)), browser.post(root(acme), {"name": "x", "timezone": "UTC"})

    assert (200, 403) == (page.status_code, answer.status_code)
    assert "An owner or admin can change this." in reading.text(page)
    assert not any(given.get("name") == "timezone" for _, given in reading.attributes(page))
    assert before == workspaces.get(acme)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_workspaces_settings_are_not_there(admin, method):
    other = workspaces.create(unique("other"))
    before = workspaces.get(other)

    answer = admin.send(method, root(other), {"name": "x", "timezone": "UTC"})

    assert answer.status_code == 404
    assert before == workspaces.get(other)


def test_what_a_file_manages_is_shown_and_not_changed(app):
    made = workspaces.create(unique("file"), managed_by="file")
    browser, before = people.member(made, "owner").client(app), workspaces.get(made)

    page, answer = browser.get(root(made)), browser.post(root(made), {"name": "x", "timezone": "UTC"})

    assert "The configuration file manages this workspace" in reading.text(page)
    assert 409 == answer.status_code
    assert before == workspaces.get(made)


def test_the_platform_keeps_its_name(app):
    browser = people.person(platform_role="admin").client(app)

    renamed = browser.post(root(PLATFORM_ID), {"name": "x", "timezone": "UTC"})
    moved = browser.post(root(PLATFORM_ID), {"name": "platform", "timezone": "Europe/Berlin"})

    assert (422, 303) == (renamed.status_code, moved.status_code)
    assert ("platform", "Europe/Berlin") == (workspaces.get(PLATFORM_ID).name, workspaces.get(PLATFORM_ID).timezone)
