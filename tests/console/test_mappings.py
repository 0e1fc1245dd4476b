from urllib.parse import urlencode

import pytest

from app.auth import mappings, users
from app.units import PLATFORM_ID, new_id
from app.workspace import members, workspaces
from tests import directory, people
from tests.console import reading
from tests.factories import unique

HTMX = {"HX-Request": "true"}


@pytest.fixture
def entra(app):
    assert app.testing
    return directory.provider(name="Corp directory")


@pytest.fixture
def owner(app, acme):
    return people.member(acme, "owner", name="Olivia").client(app)


@pytest.fixture
def root_admin(app):
    return people.person(platform_role="admin").client(app)


def root(place):
    return "/platform/mappings" if place == PLATFORM_ID else f"/w/{place}/mappings"


def typed(provider_id, value="builders", role="developer", **fields):
    form = {"provider": provider_id, "kind": "app_role", "value": value, "role": role, "new_id": new_id()}
    return {name: str(given) for name, given in (form | fields).items()}


def dry_run(browser, place, form, own="new", **options):
    return browser.get(f"{root(place)}/{own}/dry-run?{urlencode(form)}", **options)


def saved(browser, place, form, own="new"):
    """See the dry run and press its button."""
    address = f"{root(place)}/{own}"
    return browser.post(address, reading.form(dry_run(browser, place, form, own), address).values())


def test_the_first_mapping_is_made_from_the_empty_list(acme, entra, owner):
    page = owner.get(root(acme))
    assert "No mappings yet" in reading.text(page)
    form = reading.text(owner.get(f"{root(acme)}/new"))
    assert "Corp directory" in form

    answer = saved(owner, acme, typed(entra, label="The builders"))

    assert (303, root(acme)) == (answer.status_code, answer.headers["Location"])
    page = reading.text(owner.get(root(acme)))
    assert "The builders builders app role Corp directory developer" in page
    assert "The mapping is saved." in page


@pytest.mark.parametrize("place", ["workspace", "platform"])
def test_the_dry_run_names_who_gains_and_saves_nothing(acme, entra, owner, root_admin, place):
    here, browser, role = (acme, owner, "developer") if place == "workspace" else (PLATFORM_ID, root_admin, "auditor")
    jane = directory.newcomer(entra, name="Jane Doe", app_roles=("builders",))

    page = reading.text(dry_run(browser, here, typed(entra, role=role)))

    assert "nothing is saved yet" in page
    assert f"Gain: 1 person Gain Name E-mail Role now Role then Jane Doe {jane.email} none {role}" in page
    assert [] == mappings.of(here)
    assert 303 == saved(browser, here, typed(entra, role=role)).status_code
    assert role == mappings.of(here)[0].rule.role


def test_a_mapping_is_changed_and_removed_after_a_look_at_who_loses(acme, entra, owner):
    own = str(directory.mapping(acme, entra, "builders", "developer"))
    jane = directory.newcomer(entra, name="Jane Doe", app_roles=("builders",))
    form = typed(entra, role="viewer")

    assert f"Jane Doe {jane.email} developer viewer" in reading.text(dry_run(owner, acme, form, own))
    assert 303 == saved(owner, acme, form, own).status_code
    assert "viewer" == members.role_of(acme, jane.user_id)
    address = f"{root(acme)}/{own}/remove"
    page = owner.get(address)
    assert f"Lose: 1 person Lose Name E-mail Role now Role then Jane Doe {jane.email} viewer none" in reading.text(page)
    answer = owner.post(address, reading.form(page, address).values())

    assert (303, root(acme)) == (answer.status_code, answer.headers["Location"])
    assert members.role_of(acme, jane.user_id) is None


def test_bc_096_the_dry_run_says_who_stays_the_last_owner(app, acme, entra):
    browser = people.person(platform_role="admin").client(app)
    own = directory.mapping(acme, entra, "owners", "owner")
    jane = directory.newcomer(entra, name="Jane Doe", app_roles=("owners",))

    page = browser.get(f"{root(acme)}/{own}/remove")

    assert f"Jane Doe ({jane.email}) stays owner: there is no other owner." in reading.text(page)
    assert "Lose:" not in reading.text(page)


def test_what_was_not_seen_is_not_saved(acme, entra, owner):
    form = typed(entra)
    address = f"{root(acme)}/new"
    seen = reading.form(dry_run(owner, acme, form), address).values()
    jane = directory.newcomer(entra, name="Jane Doe", app_roles=("builders",))

    for fields in (form, form | {"shown": ""}, seen):
        answer = owner.post(address, fields)
        assert 409 == answer.status_code
        assert "Something has changed since you saw this." in reading.text(answer)
        assert jane.email in reading.text(answer)
    assert [] == mappings.of(acme)

    again = reading.form(owner.post(address, seen), address).values()
    assert 303 == owner.post(address, again).status_code
    assert "developer" == members.role_of(acme, jane.user_id)


def test_a_removal_that_was_not_seen_is_not_done(acme, entra, owner):
    own = directory.mapping(acme, entra, "builders", "developer")
    directory.newcomer(entra, app_roles=("builders",))

    answer = owner.post(f"{root(acme)}/{own}/remove")

    assert 409 == answer.status_code
    assert "Something has changed since you saw this." in reading.text(answer)
    assert 1 == len(mappings.of(acme))


def test_the_steps_work_in_place_with_htmx_too(acme, entra, owner):
    address = f"{root(acme)}/new"
    piece = dry_run(owner, acme, typed(entra), headers=HTMX)
    problem = dry_run(owner, acme, typed(entra, value=""), headers=HTMX)

    done = owner.post(address, reading.form(piece, address).values(), headers=HTMX)

    assert [False, False] == [reading.is_whole_page(one) for one in (piece, problem)]
    assert (200, 422) == (piece.status_code, problem.status_code)
    assert (204, root(acme)) == (done.status_code, done.headers["HX-Redirect"])


def test_what_was_typed_comes_back_to_be_changed(acme, entra, owner):
    page = dry_run(owner, acme, typed(entra, label="The builders", role="billing"))
    (back,) = [one for one in reading.links(page) if one.startswith(f"{root(acme)}/new?")]

    values = [given.get("value") for tag, given in reading.attributes(owner.get(back)) if tag in {"input", "option"}]

    assert {"builders", "The builders"} <= set(values)
    assert {"billing", str(entra)} <= {
        given["value"] for tag, given in reading.attributes(owner.get(back)) if tag == "option" and "selected" in given
    }


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"provider": ""}, "must be chosen"),
        ({"provider": new_id()}, "is not among the identity providers"),
        ({"kind": "e-mail"}, "must be one of"),
        ({"value": ""}, "must have 1 to 200 characters"),
        ({"role": "root"}, "must be one of"),
        ({"value": "there"}, "has a mapping already, to viewer"),
    ],
)
def test_bc_109_a_problem_stands_beside_its_field(acme, entra, owner, fields, problem):
    directory.mapping(acme, entra, "there", "viewer")
    form = typed(entra, **fields)

    for answer in (dry_run(owner, acme, form), owner.post(f"{root(acme)}/new", form)):
        assert 422 == answer.status_code
        assert problem in reading.text(answer)
    assert 1 == len(mappings.of(acme))


def test_bc_112_the_same_form_twice_makes_one_mapping(acme, entra, owner):
    address = f"{root(acme)}/new"
    form = reading.form(dry_run(owner, acme, typed(entra)), address).values()

    answers = [owner.post(address, form) for _ in range(2)]

    assert [303, 303] == [one.status_code for one in answers]
    assert 1 == len(mappings.of(acme))


def test_only_an_owner_maps_to_owner(app, acme, entra, owner):
    own = directory.mapping(acme, entra, "owners", "owner")
    admin = people.member(acme, "admin").client(app)

    offered = [given["value"] for tag, given in reading.attributes(admin.get(f"{root(acme)}/new")) if tag == "option"]
    paths = [f"{own}", f"{own}/remove", f"{own}/dry-run?{urlencode(typed(entra, role='owner'))}"]
    asked = [admin.get(f"{root(acme)}/{path}") for path in paths]
    asked += [dry_run(admin, acme, typed(entra, role="owner"))]
    sent = [admin.post(f"{root(acme)}/{path}", typed(entra, role="owner")) for path in ("new", f"{own}/remove")]
    sent += [admin.post(f"{root(acme)}/{own}", typed(entra, role="viewer"))]

    assert "owner" not in offered
    assert {403} == {one.status_code for one in (*asked, *sent)}
    assert f"{root(acme)}/{own}" not in reading.links(admin.get(root(acme)))
    assert f"{root(acme)}/{own}" in reading.links(owner.get(root(acme)))
    assert ["owner"] == [one.rule.role for one in mappings.of(acme)]


@pytest.mark.parametrize("role", ["viewer", "billing", "developer"])
def test_who_is_no_admin_does_not_see_mappings(app, acme, role):
    browser = people.member(acme, role).client(app)

    assert 403 == browser.get(root(acme)).status_code
    assert root(acme) not in reading.links(browser.get(f"/w/{acme}/members"))


def test_the_auditor_reads_mappings_and_changes_none(app, acme, entra):
    own = directory.mapping(PLATFORM_ID, entra, "builders", "auditor")
    auditor = people.person(platform_role="auditor").client(app)

    for place in (acme, PLATFORM_ID):
        page = auditor.get(root(place))
        assert 200 == page.status_code
        assert f"{root(place)}/new" not in reading.links(page)
        assert 403 == auditor.post(f"{root(place)}/new", typed(entra)).status_code
    assert 403 == auditor.post(f"{root(PLATFORM_ID)}/{own}/remove").status_code
    assert 1 == len(mappings.of(PLATFORM_ID))


def test_owners_of_workspaces_have_no_say_on_the_platform(entra, owner):
    assert 403 == owner.get(root(PLATFORM_ID)).status_code
    assert 403 == owner.post(f"{root(PLATFORM_ID)}/new", typed(entra, role="admin")).status_code
    assert 404 == owner.post(f"/w/{PLATFORM_ID}/mappings/new", typed(entra, role="admin")).status_code
    assert [] == mappings.of(PLATFORM_ID)


def test_bc_099_another_workspaces_mapping_is_not_there(acme, entra, owner):
    beta = workspaces.create(unique("beta"))
    own = directory.mapping(beta, entra, "builders", "developer")

    for place in (root(acme), root(beta)):
        assert 404 == owner.get(f"{place}/{own}").status_code
        assert 404 == owner.post(f"{place}/{own}", typed(entra, role="viewer")).status_code
        assert 404 == owner.post(f"{place}/{own}/remove").status_code
    assert ["developer"] == [one.rule.role for one in mappings.of(beta)]


def test_without_an_identity_provider_the_page_says_what_is_missing(acme, owner):
    for address in (root(acme), f"{root(acme)}/new"):
        assert "No identity provider yet" in reading.text(owner.get(address))


def test_the_list_says_what_everybody_gets_and_which_provider_is_closed(acme, owner):
    everybody = directory.provider(
        name="Everybody", accounts="default", default_workspace_id=acme, default_role="viewer"
    )
    closed = directory.provider(name="Closed")
    directory.mapping(acme, closed, "builders", "developer")
    directory.disable(closed)

    page = reading.text(owner.get(root(acme)))

    assert "Everybody who signs in with Everybody is at least viewer here." in page
    assert "Closed disabled developer" in page
    form = reading.text(owner.get(f"{root(acme)}/new"))
    assert everybody
    assert "Closed" not in form


def test_bc_104_labels_and_values_are_text(acme, entra, owner):
    for word in ('"><img src=x onerror=alert(1)>', "{{7*7}}", "<script>1</script>", "עברית/'\"✨" * 20):
        answer = saved(owner, acme, typed(entra, value=word, label=word))
        assert 303 == answer.status_code

    page = owner.get(root(acme)).get_data(as_text=True)

    assert "<img src=x" not in page
    assert "<script>1" not in page
    assert "{{7*7}}" in page


def test_only_the_platforms_own_page_is_current(root_admin):
    page = root_admin.get(root(PLATFORM_ID))

    current = [given["href"] for tag, given in reading.attributes(page) if tag == "a" and "aria-current" in given]

    assert [root(PLATFORM_ID)] == current


def test_a_platform_mapping_opens_the_platform_at_the_next_page(app, entra, root_admin):
    jane = directory.newcomer(entra, app_roles=("admins",))
    assert 403 == jane.client(app).get("/platform").status_code

    saved(root_admin, PLATFORM_ID, typed(entra, value="admins", role="admin"))

    assert "admin" == users.of([jane.user_id])[jane.user_id].platform_role
    assert 200 == jane.client(app).get("/platform").status_code
