import threading

import pytest

from app import create_app
from app.application import applications, keys
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import members, pages, revisions, workspaces
from tests import people
from tests.console import reading
from tests.factories import unique
from tests.gateway_process import close_app

HTMX = {"HX-Request": "true"}


@pytest.fixture
def admin(app):
    return people.person(platform_role="admin").client(app)


def make(browser, **fields):
    return browser.post("/workspaces", {"name": unique("made"), "timezone": "UTC", "new_id": new_id()} | fields)


def names():
    return [one.name for one in workspaces.all_of_platform()]


def test_the_start_leads_into_the_first_open_workspace(app):
    first, second, third = (workspaces.create(f"{letter} {unique('ws')}") for letter in "abc")
    jane = people.member(second, "viewer")
    for workspace_id in (third, first):
        members.add(workspace_id, jane.user_id, "viewer", name=jane.email)
    workspaces.archive(first, now=utc_now())

    assert f"/w/{second}/" == jane.client(app).get("/").headers["Location"]


def test_without_a_workspace_the_start_leads_to_the_list(app, admin):
    nobodys = people.person().client(app)

    assert "/workspaces" == nobodys.get("/").headers["Location"]
    assert "/workspaces" == admin.get("/").headers["Location"]
    assert "You are a member of none." in reading.text(nobodys.get("/workspaces"))


def test_bc_098_people_see_their_workspaces_and_the_platforms_see_all(app, acme, admin):
    other = workspaces.create(unique("other"))
    jane = people.member(acme, "viewer").client(app)
    auditor = people.person(platform_role="auditor").client(app)
    mine, theirs = workspaces.get(acme).name, workspaces.get(other).name

    assert mine in reading.text(jane.get("/workspaces"))
    assert theirs not in jane.get("/workspaces").get_data(as_text=True)
    for browser in (admin, auditor):
        assert mine in reading.text(browser.get("/workspaces"))
        assert theirs in reading.text(browser.get("/workspaces"))


def test_an_admin_of_the_platform_makes_a_workspace_and_is_in_it(admin):
    form = reading.form(admin.get("/workspaces/new"), "/workspaces")
    name = unique("made")

    answer = admin.post("/workspaces", form.values(name=name, timezone="Europe/Berlin"))

    found = workspaces.by_name(name)
    assert found
    assert "Europe/Berlin" == found.timezone
    assert (303, f"/w/{found.workspace_id}/") == (answer.status_code, answer.headers["Location"])


@pytest.mark.parametrize("who", ["owner", "auditor", "stranger"])
def test_nobody_else_makes_workspaces(app, acme, who):
    found = (
        people.member(acme, who)
        if who == "owner"
        else people.person(platform_role="auditor" if who == "auditor" else None)
    )
    before, browser = names(), found.client(app)

    assert 403 == make(browser).status_code
    assert 403 == browser.get("/workspaces/new").status_code
    assert before == names()


def test_bc_112_two_clicks_at_once_make_one_workspace(app):
    admin, name, own = people.person(platform_role="admin"), unique("made"), new_id()
    answers = []

    def click():
        with app.app_context():
            answers.append(make(admin.client(app), name=name, new_id=own))

    threads = [threading.Thread(target=click) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    found = workspaces.by_name(name)
    assert found
    assert {(303, f"/w/{found.workspace_id}/")} == {(one.status_code, one.headers["Location"]) for one in answers}
    assert 1 == names().count(name)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": ""}, "must have 1 to 200 characters"),
        ({"name": "=1+1"}, "must not begin with"),
        ({"name": "platform"}, "already"),
        ({"timezone": "Mars/Olympus"}, "there is no time zone"),
    ],
)
def test_bc_109_a_problem_stands_beside_its_field(admin, fields, problem):
    before = names()

    answer = make(admin, **fields)

    assert 422 == answer.status_code
    assert problem in reading.text(answer)
    assert before == names()


def test_an_archived_workspace_stops_its_keys_and_opens_again(app, acme):
    keys.create(acme, applications.create(acme, "chatbot"), "ci", models=["*"])
    owner, name = people.member(acme, "owner").client(app), workspaces.get(acme).name
    revision = revisions.current()[1]
    page = owner.get(f"/w/{acme}/archive")

    answer = owner.post(f"/w/{acme}/archive", {"confirm": name})

    assert "1 active key stops working" in reading.text(page)
    assert 303 == answer.status_code
    assert workspaces.get(acme).archived_at
    assert revision < revisions.current()[1]
    assert name in reading.text(owner.get("/workspaces?state=archived"))
    revision = revisions.current()[1]
    owner.post(f"/w/{acme}/restore")
    assert workspaces.get(acme).archived_at is None
    assert revision < revisions.current()[1]


@pytest.mark.parametrize("typed", ["", "another"])
def test_a_workspace_is_archived_only_when_its_name_was_typed(app, acme, typed):
    answer = people.member(acme, "owner").client(app).post(f"/w/{acme}/archive", {"confirm": typed})

    assert 422 == answer.status_code
    assert "is not the name of this workspace" in reading.text(answer)
    assert workspaces.get(acme).archived_at is None


@pytest.mark.parametrize("role", ["admin", "developer", "billing", "viewer"])
def test_only_an_owner_closes_or_opens_a_workspace(app, acme, role):
    browser, form = people.member(acme, role).client(app), {"confirm": workspaces.get(acme).name}

    assert [403, 403] == [browser.post(f"/w/{acme}/{step}", form).status_code for step in ("archive", "restore")]
    assert workspaces.get(acme).archived_at is None


@pytest.mark.parametrize("step", ["archive", "restore"])
def test_bc_099_another_workspace_is_not_there(app, acme, step):
    stranger = people.member(workspaces.create(unique("other")), "owner").client(app)

    assert 404 == stranger.post(f"/w/{acme}/{step}", {"confirm": workspaces.get(acme).name}).status_code
    assert workspaces.get(acme).archived_at is None


def test_the_platform_and_what_a_file_manages_stay_open(admin):
    file = workspaces.create(unique("file"), managed_by="file")

    platform = admin.post(f"/w/{PLATFORM_ID}/archive", {"confirm": "platform"})
    managed = admin.post(f"/w/{file}/archive", {"confirm": workspaces.get(file).name})

    assert (422, 409) == (platform.status_code, managed.status_code)
    assert "A configuration file manages this workspace" in reading.text(managed)
    assert not any(one.archived_at for one in workspaces.all_of_platform())


def test_bc_110_the_list_is_searched_and_paged_by_addresses_that_are_whole_pages(admin, monkeypatch):
    monkeypatch.setattr(pages, "SIZE", 2)
    word = unique("word")
    for number in range(5):
        workspaces.create(f"{word} {number}")
    seen, address = [], f"/workspaces?q={word.upper()}"
    while address:
        page = admin.get(address)
        seen += [number for number in range(5) if f"{word} {number}" in reading.text(page)]
        address = next((one for one in reading.links(page) if "after=" in one), None)

    assert [0, 1, 2, 3, 4] == seen
    assert not reading.is_whole_page(admin.get(f"/workspaces?q={word}", headers=HTMX))
    assert "Nothing matches" in reading.text(admin.get("/workspaces?q=nothing-has-this"))


def test_bc_104_names_of_workspaces_are_text(admin):
    for name in ("');alert(1)//", '"><img src=x onerror=alert(1)>', "{{7*7}}", "<script>1</script>", "ä" * 200):
        workspaces.create(name)

    page = admin.get("/workspaces").get_data(as_text=True)

    assert "<img src=x" not in page
    assert "<script>1" not in page
    assert "{{7*7}}" in page


def test_a_process_that_only_serves_models_has_no_pages(fresh_database, redis_url):
    app = create_app(fresh_database.settings(redis_url, role="proxy"))
    answers = [app.test_client().get(path).status_code for path in ("/", "/sign-in", "/workspaces")]
    close_app(app)

    assert [404, 404, 404] == answers
