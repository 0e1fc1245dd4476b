import threading

import pytest

from app.auth import users
from app.units import new_id, utc_now
from app.workspace import invitations, mapped_roles, members, pages, workspaces
from app.workspace.members import By
from tests import directory, people
from tests.console import reading
from tests.factories import unique

HTMX = {"HX-Request": "true"}


@pytest.fixture
def owner(app, acme):
    return people.member(acme, "owner", name="Olivia").client(app)


@pytest.fixture
def viewer(acme):
    return people.member(acme, "viewer", name="Victor")


def root(workspace_id):
    return f"/w/{workspace_id}/members"


def invite(browser, workspace_id, **fields):
    form = {"email": "jane@corp.test", "role": "viewer", "new_id": new_id()} | fields
    return browser.post(f"{root(workspace_id)}/invite", form)


def link_of(answer):
    return next(word for word in reading.text(answer).split() if "/join/" in word)


def test_the_list_shows_who_is_there_and_as_what(app, acme, owner, viewer):
    page = reading.text(owner.get(root(acme)))

    assert "Olivia" in page
    assert viewer.email in page
    assert "viewer" in page
    assert "Remove Victor" in page
    assert "Remove Victor" not in reading.text(viewer.client(app).get(root(acme)))


def test_a_role_is_changed_in_place(acme, owner, viewer):
    address = f"{root(acme)}/{viewer.user_id}/role"
    form = reading.form(owner.get(root(acme)), address)

    answer = owner.post(address, form.values(role="developer"), headers=HTMX)

    assert 200 == answer.status_code
    assert not reading.is_whole_page(answer)
    assert "The role is changed." in answer.headers["HX-Trigger"]
    assert "developer" == members.role_of(acme, viewer.user_id)


def test_a_role_is_changed_without_javascript(acme, owner, viewer):
    answer = owner.post(f"{root(acme)}/{viewer.user_id}/role", {"role": "developer"})

    assert (303, root(acme)) == (answer.status_code, answer.headers["Location"])
    assert "The role is changed." in reading.text(owner.get(root(acme)))


@pytest.mark.parametrize("step", ["role", "remove"])
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_bc_096_the_last_owner_is_told_why_he_stays(acme, owner, viewer, step, headers):
    me = owner.person.user_id

    answer = owner.post(f"{root(acme)}/{me}/{step}", {"role": "viewer"}, headers=headers)

    assert 422 == answer.status_code
    assert "last owner" in reading.text(answer)
    assert viewer.email in reading.text(answer)
    assert "owner" == members.role_of(acme, me)


def test_bc_096_two_owners_that_demote_each_other_at_once_leave_one(app, acme):
    owners = [people.member(acme, "owner") for _ in range(2)]
    statuses = []

    def demote(me, other):
        with app.app_context():
            answer = me.client(app).post(f"{root(acme)}/{other.user_id}/role", {"role": "viewer"})
            statuses.append(answer.status_code)

    threads = [threading.Thread(target=demote, args=pair) for pair in (owners, owners[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert 1 == [one.role for one in members.of(acme)].count("owner")
    assert 303 in statuses
    assert set(statuses) <= {303, 403, 422}


@pytest.mark.parametrize("step", ["role", "remove"])
def test_bc_097_an_admin_neither_makes_nor_unmakes_owners(app, acme, owner, step):
    admin = people.member(acme, "admin")
    browser = admin.client(app)

    answers = [browser.post(f"{root(acme)}/{owner.person.user_id}/{step}", {"role": "viewer"})]
    answers.append(browser.post(f"{root(acme)}/{admin.user_id}/role", {"role": "owner"}))
    answers.append(invite(browser, acme, role="owner"))

    assert [403, 403, 403] == [one.status_code for one in answers]
    assert ["owner", "admin"] == [one.role for one in members.of(acme)]
    assert [] == invitations.open_of(acme)
    offered = [given.get("value") for tag, given in reading.attributes(browser.get(root(acme))) if tag == "option"]
    assert "owner" not in offered


def test_a_member_is_removed_and_what_he_did_stays(acme, owner, viewer):
    answer = owner.post(f"{root(acme)}/{viewer.user_id}/remove")

    assert 303 == answer.status_code
    assert members.role_of(acme, viewer.user_id) is None
    assert users.id_of(viewer.email) == viewer.user_id


def test_who_leaves_is_led_out(app, acme, owner):
    admin = people.member(acme, "admin")

    answer = admin.client(app).post(f"{root(acme)}/{admin.user_id}/remove")

    assert owner
    assert "/workspaces" == answer.headers["Location"]


@pytest.mark.parametrize("role", ["viewer", "billing", "developer"])
def test_bc_095_who_may_not_manage_members_reads_only(app, acme, owner, viewer, role):
    browser = people.member(acme, role).client(app)
    posts = [f"{viewer.user_id}/role", f"{viewer.user_id}/remove", "invite", f"invitations/{new_id()}/revoke"]

    answers = [browser.post(f"{root(acme)}/{path}", {"role": "admin"}).status_code for path in posts]

    assert owner
    assert [403] * 4 == answers
    assert 200 == browser.get(root(acme)).status_code
    assert "viewer" == members.role_of(acme, viewer.user_id)


def test_bc_099_members_and_invitations_of_another_workspace_are_not_there(app, acme, owner, viewer):
    beta = workspaces.create(unique("beta"))
    stranger = people.member(beta, "owner").client(app)
    invite(owner, acme)
    own = invitations.open_of(acme)[0].invitation_id
    paths = [f"{viewer.user_id}/role", f"{viewer.user_id}/remove", f"invitations/{own}/revoke"]

    here = [stranger.post(f"{root(acme)}/{path}", {"role": "admin"}).status_code for path in paths]
    there = [stranger.post(f"{root(beta)}/{path}", {"role": "admin"}).status_code for path in paths]

    assert [404] * 6 == here + there
    assert "viewer" == members.role_of(acme, viewer.user_id)
    assert invitations.open_of(acme)


def test_an_invitation_shows_its_link_once_and_it_works(app, acme, owner):
    answer = invite(owner, acme, email="Jane@Corp.test", role="developer")
    link = link_of(answer)

    assert "no-store" in answer.headers["Cache-Control"]
    assert any("false" == given.get("hx-history") for _, given in reading.attributes(answer))
    assert "jane@corp.test" in reading.text(owner.get(root(acme)))
    assert "/join/" not in owner.get(root(acme)).get_data(as_text=True)
    assert "jane@corp.test is invited" in reading.text(app.test_client().get(link.removeprefix("http://localhost")))


def test_bc_112_the_same_form_twice_makes_one_invitation_and_shows_no_link_again(acme, owner):
    own = new_id()
    first, second = (invite(owner, acme, new_id=own) for _ in range(2))

    assert "/join/" in reading.text(first)
    assert (303, root(acme)) == (second.status_code, second.headers["Location"])
    assert 1 == len(invitations.open_of(acme))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"email": "jane"}, "must be an e-mail address"),
        ({"email": ""}, "must have 1 to 200 characters"),
        ({"role": "root"}, "must be one of"),
        ({"role": ""}, "must be one of"),
    ],
)
def test_bc_109_a_problem_stands_beside_its_field(acme, owner, fields, problem):
    answer = invite(owner, acme, **fields)

    assert 422 == answer.status_code
    assert problem in reading.text(answer)
    assert [] == invitations.open_of(acme)


def test_a_member_is_not_invited_again(acme, owner, viewer):
    answer = invite(owner, acme, email=viewer.email.upper())

    assert 422 == answer.status_code
    assert "is a member's already" in reading.text(answer)


def test_a_revoked_invitation_opens_nothing(app, acme, owner):
    link = link_of(invite(owner, acme)).removeprefix("http://localhost")
    own = invitations.open_of(acme)[0].invitation_id

    answer = owner.post(f"{root(acme)}/invitations/{own}/revoke")

    assert 303 == answer.status_code
    assert 404 == app.test_client().get(link).status_code


def test_the_search_finds_names_and_addresses_and_answers_htmx_with_the_rows(acme, owner, viewer):
    whole = owner.get(f"{root(acme)}?q=vict")
    rows = owner.get(f"{root(acme)}?q=VICT", headers=HTMX)

    assert reading.is_whole_page(whole)
    assert not reading.is_whole_page(rows)
    assert viewer.email in reading.text(rows)
    assert "Olivia" not in reading.text(rows)
    assert "Nobody matches" in reading.text(owner.get(f"{root(acme)}?q=%25"))


def test_bc_110_a_page_of_the_list_is_whole_when_one_comes_back_to_it(acme, owner, monkeypatch):
    monkeypatch.setattr(pages, "SIZE", 2)
    for _ in range(4):
        people.member(acme, "viewer")
    (onward,) = {one for one in reading.links(owner.get(root(acme))) if "after=" in one}

    fragment = owner.get(onward, headers=HTMX)
    back = [owner.get(onward), owner.get(onward, headers=HTMX | {"HX-History-Restore-Request": "true"})]

    assert not reading.is_whole_page(fragment)
    assert all(reading.is_whole_page(one) for one in back)
    assert "HX-Request" in fragment.vary


def test_bc_104_names_of_members_are_text(acme, owner):
    for name in ("');alert(1)//", '"><img src=x onerror=alert(1)>', "{{7*7}}", "<script>1</script>"):
        people.member(acme, "viewer", name=name)

    page = owner.get(root(acme)).get_data(as_text=True)

    assert "<img src=x" not in page
    assert "<script>1" not in page
    assert "{{7*7}}" in page
    assert not any(name.startswith("on") for _, given in reading.attributes(page) for name in given)


def test_an_expired_invitation_says_so(acme, owner):
    who = By(user_id=owner.person.user_id, role="owner")
    long_ago = utc_now() - 2 * invitations.LIFE
    invitations.create(acme, "late@corp.test", "viewer", by=who, now=long_ago)

    assert "expired" in reading.text(owner.get(root(acme)))


@pytest.fixture
def mapped(acme):
    """Somebody whom a mapping makes a developer."""
    entra = directory.provider()
    directory.mapping(acme, entra, "Gateway.Developer", "developer")
    return directory.newcomer(entra, name="Mary", app_roles=("Gateway.Developer",))


def test_the_list_shows_what_comes_by_mapping_and_which_gives_it(app, acme, owner, viewer, mapped):
    page = reading.text(owner.get(root(acme)))
    of_a_viewer = reading.text(viewer.client(app).get(root(acme)))

    assert f"{mapped.email} developer" in page
    assert "developer by app role Gateway.Developer" in page
    assert "Remove Mary" not in page
    assert "Remove Victor" in page
    assert f"Mary {mapped.email} developer none developer" in of_a_viewer
    assert "Gateway.Developer" not in of_a_viewer


def test_without_mappings_the_list_has_one_column_of_roles(acme, owner, viewer):
    page = reading.text(owner.get(root(acme)))

    assert viewer.email in page
    assert "By mapping" not in page
    assert "Given by hand" not in page


def test_a_role_by_hand_is_given_and_taken_beside_the_mapped_one(acme, owner, mapped):
    address = f"{root(acme)}/{mapped.user_id}"
    form = reading.form(owner.get(root(acme)), f"{address}/role")
    assert "" == form.values()["role"]
    assert 422 == owner.post(f"{address}/role", form.values()).status_code

    owner.post(f"{address}/role", form.values(role="admin"))
    assert "admin" == members.role_of(acme, mapped.user_id)
    page = reading.text(owner.get(root(acme)))
    assert "loses the role given by hand, admin. A mapping still gives the role developer" in page
    answer = owner.post(f"{address}/remove", headers=HTMX)

    assert "A mapping still gives the role developer." in answer.headers["HX-Trigger"]
    assert "developer" == members.role_of(acme, mapped.user_id)


def test_who_is_a_member_by_mapping_alone_is_not_removed(acme, owner, mapped):
    answer = owner.post(f"{root(acme)}/{mapped.user_id}/remove")

    assert 422 == answer.status_code
    assert "comes from a mapping alone" in reading.text(answer)
    assert "developer" == members.role_of(acme, mapped.user_id)


def test_what_everybody_gets_and_what_nothing_gives_any_more_is_told(acme, owner):
    entra = directory.provider(name="Corp", accounts="default", default_workspace_id=acme, default_role="viewer")
    directory.newcomer(entra, name="Mary")
    mapped_roles.put(acme, people.person(name="Nell").user_id, "developer", name="nell")

    page = reading.text(owner.get(root(acme)))

    assert "viewer as everybody of Corp" in page
    assert "developer until the next sign-in" in page
