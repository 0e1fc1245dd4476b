from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.application import applications, keys
from app.application.applications import Application
from app.units import new_id, utc_now
from app.workspace import pages, workspaces
from app.workspace.names import Invalid
from tests import people
from tests.console import reading
from tests.factories import unique

HTMX = {"HX-Request": "true"}
NASTY = (
    "');alert(1)//",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}",
    "<script>1</script>",
    "a/b/c?x=1#y",
    "100%2F",
    "🚀 مرحبا",
    "n" * 200,
)


@pytest.fixture
def developer(app, acme):
    return people.member(acme, "developer").client(app)


def root(workspace_id):
    return f"/w/{workspace_id}/applications"


def one(workspace_id, application_id) -> Application:
    return applications.get(workspace_id, application_id)


def make(browser, workspace_id, name, **fields):
    form = {"new_id": new_id(), "name": name} | fields
    answer = browser.post(root(workspace_id), form)
    assert answer.status_code == 303, reading.text(answer)
    return UUID(answer.headers["Location"].rsplit("/", 1)[1])


def test_an_empty_list_says_the_next_step(acme, developer):
    page = developer.get(root(acme))

    assert "No applications yet" in reading.text(page)
    assert f"{root(acme)}/new" in reading.links(page)


def test_an_application_is_made_with_its_cost_centre_and_tags(acme, developer):
    form = reading.form(developer.get(f"{root(acme)}/new"), root(acme))

    answer = developer.post(root(acme), form.values(name="chatbot", cost_centre="4711", tags="team=search\nenv = test"))

    (made,) = applications.all_of(acme)
    assert ("chatbot", "4711", {"team": "search", "env": "test"}) == (made.name, made.cost_centre, made.tags)
    assert answer.headers["Location"] == f"{root(acme)}/{made.application_id}"
    assert "chatbot" in reading.text(developer.get(answer.headers["Location"]))


def test_saving_a_page_as_it_is_changes_nothing(acme, developer):
    application_id = make(developer, acme, "chatbot", cost_centre="4711", tags="team=search")
    before, address = one(acme, application_id), f"{root(acme)}/{application_id}"

    developer.post(address, reading.form(developer.get(address), address).values())

    assert before == one(acme, application_id)


def test_name_cost_centre_and_tags_can_be_changed(acme, developer):
    application_id = make(developer, acme, "chatbot", cost_centre="4711", tags="team=search")

    answer = developer.post(f"{root(acme)}/{application_id}", {"name": "assistant", "cost_centre": "", "tags": ""})

    assert answer.status_code == 303
    found = one(acme, application_id)
    assert ("assistant", None, {}) == (found.name, found.cost_centre, found.tags)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": ""}, "must have 1 to 200 characters"),
        ({"name": "=1+1"}, "a spreadsheet takes for a formula"),
        ({"name": "taken"}, "already"),
        ({"name": "n", "cost_centre": "c" * 101}, "at most 100 characters"),
        ({"name": "n", "tags": "no equals sign"}, "name=value"),
    ],
)
def test_bc_109_a_problem_stands_beside_its_field_in_a_fragment(acme, developer, fields, problem):
    make(developer, acme, "taken")

    answer = developer.post(root(acme), {"new_id": new_id()} | fields, headers=HTMX)

    assert answer.status_code == 422
    assert not reading.is_whole_page(answer)
    assert problem in reading.text(answer)
    assert len(applications.all_of(acme)) == 1


def test_a_name_that_is_taken_meanwhile_is_refused_by_the_database(acme):
    first, second = (applications.create(acme, unique("a")) for _ in range(2))

    with pytest.raises(Invalid, match="already"):
        applications.edit(acme, second, name=one(acme, first).name, cost_centre=None, tags={})

    assert one(acme, second).name != one(acme, first).name


def test_bc_112_the_same_form_sent_twice_makes_one_application(acme, developer):
    form = {"new_id": new_id(), "name": "chatbot"}

    first, second = (developer.post(root(acme), form) for _ in range(2))

    assert (303, 303) == (first.status_code, second.status_code)
    assert first.headers["Location"] == second.headers["Location"]
    assert len(applications.all_of(acme)) == 1


def test_the_id_of_a_form_makes_different_rows_in_different_workspaces(app, acme, developer):
    other = workspaces.create(unique("other"))
    given = new_id()
    mine = make(developer, acme, "chatbot", new_id=given)

    theirs = make(people.member(other, "owner").client(app), other, "chatbot", new_id=given)

    assert len({mine, theirs, given}) == 3


def test_archiving_says_what_stops_and_can_be_undone(acme, developer):
    application_id = make(developer, acme, "chatbot")
    keys.create(acme, application_id, "ci", models=["*"])
    address = f"{root(acme)}/{application_id}"

    confirm = developer.get(f"{address}/archive")
    developer.post(f"{address}/archive")
    archived = one(acme, application_id)
    developer.post(f"{address}/restore")

    assert "1 active key stops working" in reading.text(confirm)
    assert "In the last hour 0 calls" in reading.text(confirm)
    assert archived.archived_at
    assert one(acme, application_id).archived_at is None


def test_archived_applications_are_in_a_list_of_their_own(acme, developer):
    gone, stays = make(developer, acme, "gone"), make(developer, acme, "stays")
    applications.archive(acme, gone, now=utc_now())

    open_ones, archived = developer.get(root(acme)), developer.get(f"{root(acme)}?state=archived")

    assert f"{root(acme)}/{stays}" in reading.links(open_ones)
    assert f"{root(acme)}/{gone}" not in reading.links(open_ones)
    assert f"{root(acme)}/{gone}" in reading.links(archived)


def test_search_finds_parts_of_names_and_no_patterns(acme, developer):
    for name in ("chat 100%", "CHATBOT", "other"):
        make(developer, acme, name)

    found = reading.text(developer.get(f"{root(acme)}?q=chat", headers=HTMX))
    percent = reading.text(developer.get(f"{root(acme)}?q=%25", headers=HTMX))

    assert "chat 100%" in found
    assert "CHATBOT" in found
    assert "other" not in found
    assert "CHATBOT" not in percent


def test_a_search_without_a_match_says_so(acme, developer):
    make(developer, acme, "chatbot")

    assert "No application has “x%00y”" not in reading.text(developer.get(f"{root(acme)}?q=x%00y"))
    assert "No application has “nothing”" in reading.text(developer.get(f"{root(acme)}?q=nothing"))


def test_bc_110_each_page_of_a_list_is_a_whole_page_at_its_own_address(acme, developer):
    for number in range(pages.SIZE + 3):
        applications.create(acme, f"application {number:03}")
    first = developer.get(root(acme))
    second_url = next(link for link in reading.links(first) if "after=" in link)

    by_htmx = developer.get(second_url, headers=HTMX)
    back = developer.get(second_url, headers=HTMX | {"HX-History-Restore-Request": "true"})
    reload = developer.get(second_url)

    assert [False, True, True] == [reading.is_whole_page(page) for page in (by_htmx, back, reload)]
    for page in (first, by_htmx, back, reload):
        assert "HX-Request" in page.headers["Vary"]
    shown = [reading.text(page) for page in (by_htmx, back, reload)]
    assert all("application 052" in text and "application 000" not in text for text in shown)
    assert "application 049" in reading.text(first)


@pytest.mark.parametrize("name", NASTY)
def test_bc_104_a_name_is_shown_as_text_everywhere(acme, developer, name):
    application_id = make(developer, acme, name)
    address = f"{root(acme)}/{application_id}"

    pages_shown = [developer.get(path) for path in (root(acme), address, f"{address}/archive")]

    for page in pages_shown:
        assert name in reading.text(page)
        assert "<img src=x" not in page.get_data(as_text=True)
        assert not any(attribute.startswith("on") for _, given in reading.attributes(page) for attribute in given)
        assert "unsafe" not in page.headers["Content-Security-Policy"]


def test_what_a_file_manages_is_shown_and_not_changed(acme, developer):
    application_id = applications.create(acme, "from-file", managed_by="file")
    address = f"{root(acme)}/{application_id}"

    page = developer.get(address)
    answers = [developer.post(f"{address}{end}", {"name": "x"}) for end in ("", "/archive", "/restore")]

    assert "The configuration file manages this application" in reading.text(page)
    assert [409, 409, 409] == [answer.status_code for answer in answers]
    assert one(acme, application_id).name == "from-file"


CHANGES = [
    ("GET", "/new"),
    ("POST", ""),
    ("POST", "/{id}"),
    ("GET", "/{id}/archive"),
    ("POST", "/{id}/archive"),
    ("POST", "/{id}/restore"),
]


@pytest.mark.parametrize(("method", "end"), CHANGES)
@pytest.mark.parametrize("role", ["viewer", "billing"])
def test_who_may_only_look_may_not_change(app, acme, role, method, end):
    application_id = applications.create(acme, "chatbot")
    before = one(acme, application_id)

    answer = (
        people.member(acme, role)
        .client(app)
        .send(method, root(acme) + end.format(id=application_id), {"new_id": new_id(), "name": "x"})
    )

    assert answer.status_code == 403
    assert [before] == applications.all_of(acme)


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("GET", "/{id}"), *CHANGES])
def test_another_workspaces_applications_are_not_there(acme, developer, method, end):
    other = workspaces.create(unique("other"))
    application_id = applications.create(other, "theirs")
    before = applications.all_of(other)
    form = {"new_id": new_id(), "name": "x"}

    there = developer.send(method, root(other) + end.format(id=application_id), form)
    here = developer.send(method, root(acme) + end.format(id=application_id), form) if "{id}" in end else there

    assert (404, 404) == (there.status_code, here.status_code)
    assert before == applications.all_of(other)


@pytest.mark.parametrize("role", ["viewer", "billing", "developer", "admin", "owner"])
def test_everybody_of_the_workspace_sees_them(app, acme, role):
    application_id = applications.create(acme, "chatbot")
    browser = people.member(acme, role).client(app)

    assert [200, 200] == [browser.get(path).status_code for path in (root(acme), f"{root(acme)}/{application_id}")]


@pytest.mark.parametrize(
    "given", ["", "x", "39eea565-b671-411b-908d-c1b542b571fa", "ffffffff-ffff-7fff-bfff-ffffffffffff"]
)
def test_a_form_without_a_fresh_id_is_refused(acme, developer, given):
    answer = developer.post(root(acme), {"new_id": given, "name": "chatbot"})

    assert answer.status_code == 400
    assert applications.all_of(acme) == []


def test_instants_are_shown_in_the_workspaces_zone(acme, developer):
    workspaces.set_timezone(acme, "Asia/Kolkata")
    application_id = applications.create(acme, "chatbot")
    applications.archive(acme, application_id, now=datetime(2026, 3, 1, tzinfo=UTC))

    page = developer.get(f"{root(acme)}/{application_id}")

    assert "2026-03-01 05:30 IST" in reading.text(page)
