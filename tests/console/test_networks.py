"""Where the console and a workspace may be used from, and what a request's own words about itself are worth."""

from dataclasses import replace

import pytest

from app.networks import Networks
from app.units import PLATFORM_ID
from app.workspace import revisions, workspaces
from tests import people
from tests.console import reading
from tests.factories import unique

HERE, ELSEWHERE = "203.0.113.7", "198.51.100.9"
OFFICE = Networks.of(("203.0.113.0/24", "2001:db8::/32"))
HTMX = {"HX-Request": "true"}


@pytest.fixture
def set_up(app):
    """Change settings of the app in this process."""

    def change(**settings):
        app.extensions["settings"] = replace(app.extensions["settings"], **settings)

    return change


@pytest.fixture
def admin(app, acme):
    return people.member(acme, "admin").client(app)


def root(workspace_id):
    return f"/w/{workspace_id}/settings"


def from_(address):
    """The request comes over the proxy on this machine, which says from where."""
    return {"headers": {"X-Forwarded-For": address}}


def directly_from(address, **told):
    return {"environ_overrides": {"REMOTE_ADDR": address}, "headers": {"X-Forwarded-For": HERE} | told}


@pytest.mark.parametrize("path", ["/sign-in", "/", "/workspaces", "/style"])
def test_outside_its_networks_the_console_shows_nothing(app, set_up, path):
    set_up(console_networks=OFFICE)
    browser = people.person(platform_role="admin").client(app)

    inside, outside = browser.get(path, **from_(HERE)), browser.get(path, **from_(ELSEWHERE))

    assert inside.status_code < 400
    assert 403 == outside.status_code
    assert f"Your address is {ELSEWHERE}." in reading.text(outside)
    assert "Location" not in outside.headers


def test_outside_the_consoles_networks_nobody_signs_in(app, set_up):
    email, visitor = people.person(password=people.PASSWORD).email, people.Browser(app.test_client())
    token = visitor._visitors_token()
    set_up(console_networks=OFFICE)

    fields = {"email": email, "password": people.PASSWORD, "csrf_token": token}
    answer = visitor.post("/sign-in", fields, **from_(ELSEWHERE))

    assert 403 == answer.status_code
    assert "gateway_session" not in str(answer.headers)


def test_bc_130_a_direct_client_cannot_say_where_it_comes_from(app, set_up):
    set_up(console_networks=OFFICE)
    browser = people.person().client(app)

    answer = browser.get("/workspaces", **directly_from(ELSEWHERE))

    assert 403 == answer.status_code
    assert f"Your address is {ELSEWHERE}." in reading.text(answer)


@pytest.mark.parametrize("who", ["owner", "viewer", "platform admin"])
def test_outside_its_networks_a_workspace_shows_and_changes_nothing(app, acme, who):
    browser = people.as_(who, acme).client(app)
    workspaces.set_networks(acme, OFFICE)

    assert 200 == browser.get(f"/w/{acme}/", **from_(HERE)).status_code
    for answer in (browser.get(f"/w/{acme}/", **from_(ELSEWHERE)), browser.post(root(acme), {}, **from_(ELSEWHERE))):
        assert 403 == answer.status_code
        assert f"This workspace may not be used from your network. Your address is {ELSEWHERE}." in reading.text(answer)


def test_outside_the_networks_of_one_workspace_another_is_open(app, acme):
    person, other = people.member(acme, "viewer"), workspaces.create(unique("other"))
    workspaces.set_networks(other, OFFICE)

    assert 200 == person.client(app).get(f"/w/{acme}/", **from_(ELSEWHERE)).status_code
    assert 404 == person.client(app).get(f"/w/{other}/", **from_(ELSEWHERE)).status_code


def test_networks_are_saved_and_the_proxies_are_told(acme, admin):
    form = reading.form(admin.get(root(acme), **from_(HERE)), f"{root(acme)}/networks")
    before = revisions.current()[1]

    answer = admin.post(
        f"{root(acme)}/networks", form.values(networks="203.0.113.0/24\n2001:db8::/32, 192.0.2.1"), **from_(HERE)
    )

    assert 303 == answer.status_code
    assert ["203.0.113.0/24", "2001:db8::/32", "192.0.2.1/32"] == workspaces.get(acme).networks.texts()
    assert before < revisions.current()[1]


def test_emptied_networks_allow_everybody(acme, admin):
    workspaces.set_networks(acme, OFFICE)

    admin.post(f"{root(acme)}/networks", {"networks": ""}, **from_(HERE))

    assert not workspaces.get(acme).networks
    assert 200 == admin.get(root(acme), **from_(ELSEWHERE)).status_code


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("203.0.113.7/24", "is an address inside a network; write 203.0.113.0/24"),
        ("office", "is no network"),
        ("203.0.113.0/24 <b>", "is no network"),
        ("0.0.0.0/0 " + " ".join(f"10.0.0.{number}" for number in range(101)), "are more than 100"),
    ],
)
def test_bc_109_what_is_no_network_stands_beside_its_field(acme, admin, typed, problem):
    answer = admin.post(f"{root(acme)}/networks", {"networks": typed}, headers={"X-Forwarded-For": HERE} | HTMX)

    assert 422 == answer.status_code
    assert not reading.is_whole_page(answer)
    assert problem in reading.text(answer)
    assert typed.split()[0] in answer.get_data(as_text=True)
    assert not workspaces.get(acme).networks


@pytest.mark.parametrize("confirm", ["", "yes"])
def test_who_would_lock_himself_out_is_asked_first(acme, admin, confirm):
    answer = admin.post(f"{root(acme)}/networks", {"networks": "10.0.0.0/8", "confirm": confirm}, **from_(HERE))

    assert 422 == answer.status_code
    assert f"Your own address {HERE} is not in these networks" in reading.text(answer)
    assert not workspaces.get(acme).networks


def test_who_types_the_name_may_lock_himself_out(acme, admin):
    name = workspaces.get(acme).name

    admin.post(f"{root(acme)}/networks", {"networks": "10.0.0.0/8", "confirm": name}, **from_(HERE))

    assert ["10.0.0.0/8"] == workspaces.get(acme).networks.texts()
    assert 403 == admin.get(root(acme), **from_(HERE)).status_code


@pytest.mark.parametrize("role", ["viewer", "billing", "developer"])
def test_others_see_the_networks_and_may_not_change_them(app, acme, role):
    workspaces.set_networks(acme, OFFICE)
    browser = people.member(acme, role).client(app)

    page = browser.get(root(acme), **from_(HERE))
    answer = browser.post(f"{root(acme)}/networks", {"networks": ""}, **from_(HERE))

    assert "203.0.113.0/24, 2001:db8::/32" in reading.text(page)
    assert 403 == answer.status_code
    assert OFFICE == workspaces.get(acme).networks


def test_another_workspaces_networks_are_not_there(admin):
    other = workspaces.create(unique("other"))

    answer = admin.post(f"{root(other)}/networks", {"networks": "10.0.0.0/8"})

    assert 404 == answer.status_code
    assert not workspaces.get(other).networks


def test_a_workspace_that_a_file_manages_has_its_networks_from_here(app):
    made = workspaces.create(unique("file"), managed_by="file")
    browser = people.member(made, "owner").client(app)

    assert 303 == browser.post(f"{root(made)}/networks", {"networks": "127.0.0.0/8"}).status_code
    assert ["127.0.0.0/8"] == workspaces.get(made).networks.texts()


def test_the_operator_opens_what_is_locked_for_everybody(app, acme, admin):
    workspaces.set_networks(acme, Networks.of(["10.0.0.0/8"]))
    name, runner = workspaces.get(acme).name, app.test_cli_runner()

    said = [runner.invoke(args=["allow-networks", *words]) for words in ((name,), ("nobody",), (name, "x"))]

    assert [0, 1, 1] == [one.exit_code for one in said]
    assert f"{name} may be used from every network.\n" == said[0].output
    assert ["There is no workspace 'nobody'.", "'x' is no network"] == [
        one.output.removeprefix("Error: ").strip()[:length] for one, length in zip(said[1:], (31, 17), strict=True)
    ]
    assert 200 == admin.get(root(acme)).status_code


def test_the_platform_may_have_networks_of_its_own(app):
    workspaces.set_networks(PLATFORM_ID, OFFICE)
    browser = people.person(platform_role="admin").client(app)

    assert 403 == browser.get(f"/w/{PLATFORM_ID}/models", **from_(ELSEWHERE)).status_code
    assert 200 == browser.get(f"/w/{PLATFORM_ID}/models", **from_(HERE)).status_code
