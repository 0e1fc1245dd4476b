import pytest

from app.auth import accounts
from app.units import new_id, utc_now
from app.workspace import members, pages, workspaces
from tests import directory, people
from tests.console import reading
from tests.factories import unique

PEOPLE = "/platform/people"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def root(app):
    assert app.testing
    return people.person(platform_role="admin", name="Root")


@pytest.fixture
def admin(app, root):
    return root.client(app)


@pytest.fixture
def jane(app):
    assert app.testing
    return people.person(name="Jane", password=people.PASSWORD)


def is_disabled(person):
    return accounts.get(person.user_id, now=utc_now()).disabled_at is not None


def test_everybody_is_listed_with_the_ways_in(admin, jane):
    directory.identify(directory.provider(name="Corp directory"), jane.user_id)

    words = reading.text(admin.get(PEOPLE))

    assert f"Jane {jane.email}" in words
    assert "Corp directory, password 1 just now enabled" in words
    assert "Root you" in words


def test_a_person_is_shown_with_what_he_may_and_where_he_is(admin, jane):
    acme, entra = workspaces.create("Acme"), directory.provider(name="Corp directory")
    directory.identify(entra, jane.user_id)
    members.add(acme, jane.user_id, "billing", name=jane.email)

    words = reading.text(admin.get(f"{PEOPLE}/{jane.user_id}"))

    assert f"Account E-mail {jane.email} State enabled" in words
    assert f"Corp directory {jane.user_id}, last never Password set Two-factor off" in words
    assert "Acme billing" in words
    assert "Unknown browser 127.0.0.1 password" in words


def test_people_are_found_by_name_or_e_mail(admin, jane):
    people.person(name="John")

    by_name, by_mail, nobody = (reading.text(admin.get(f"{PEOPLE}?q={one}")) for one in ("jan", jane.email, "zzz"))

    assert all("Jane" in one and "John" not in one for one in (by_name, by_mail))
    assert "Nobody matches" in nobody


def test_the_list_comes_in_pages(admin):
    made = {people.person().email for _ in range(pages.SIZE)}
    first = admin.get(PEOPLE)
    (onward,) = {one for one in reading.links(first) if one.startswith(f"{PEOPLE}?after=")}

    second = admin.get(onward)

    shown = [reading.text(one) for one in (first, second)]
    assert all(sum(email in page.split() for page in shown) == 1 for email in made)
    assert PEOPLE in reading.links(second)


def test_a_search_is_a_piece_of_the_page(admin):
    assert not reading.is_whole_page(admin.get(f"{PEOPLE}?q=a", headers=HTMX))


def test_a_person_is_disabled_and_enabled(app, admin, jane):
    disabled = admin.post(f"{PEOPLE}/{jane.user_id}/disable")
    was = is_disabled(jane)
    shown = reading.text(admin.get(f"{PEOPLE}?q=jane"))
    page = reading.text(admin.get(f"{PEOPLE}/{jane.user_id}"))
    enabled = admin.post(f"{PEOPLE}/{jane.user_id}/enable")

    assert [303, 303] == [disabled.status_code, enabled.status_code]
    assert "Disabled: this person cannot sign in" in page
    assert (True, False) == (was, is_disabled(jane))
    assert "disabled" in shown
    assert "/sign-in" in jane.client(app).get("/workspaces").headers["Location"]


def test_nobody_disables_himself(admin, root):
    people.person(platform_role="admin")

    answer = admin.post(f"{PEOPLE}/{root.user_id}/disable")

    assert 422 == answer.status_code
    assert "another admin has to disable it" in reading.text(answer)
    assert not is_disabled(root)


def test_somebody_is_signed_out_everywhere(app, admin, jane):
    answer = admin.post(f"{PEOPLE}/{jane.user_id}/end-sessions")

    assert 303 == answer.status_code
    assert "/sign-in" in jane.client(app).get("/workspaces").headers["Location"]
    assert 200 == admin.get(PEOPLE).status_code
    assert not is_disabled(jane)


@pytest.mark.parametrize("verb", ["disable", "enable", "end-sessions"])
def test_nobody_is_a_404(admin, verb):
    assert 404 == admin.get(f"{PEOPLE}/{new_id()}").status_code
    assert 404 == admin.post(f"{PEOPLE}/{new_id()}/{verb}").status_code


def test_the_auditor_looks_and_changes_nothing(app, jane):
    auditor = people.person(platform_role="auditor").client(app)

    page = reading.text(auditor.get(f"{PEOPLE}/{jane.user_id}"))

    assert jane.email in page
    assert "Disable" not in page
    assert 403 == auditor.post(f"{PEOPLE}/{jane.user_id}/disable").status_code
    assert not is_disabled(jane)


def test_an_owner_of_a_workspace_sees_nobody(app, jane):
    owner = people.member(workspaces.create(unique("acme")), "owner").client(app)

    answers = [owner.get(PEOPLE), owner.post(f"{PEOPLE}/{jane.user_id}/disable")]

    assert [403, 403] == [one.status_code for one in answers]
    assert jane.email not in answers[0].get_data(as_text=True)


def test_bc_104_names_are_text(admin):
    own = people.person(name="<img src=x onerror=alert(1)>").user_id

    pages_of_it = [admin.get(one).get_data(as_text=True) for one in (PEOPLE, f"{PEOPLE}/{own}")]

    assert not [page for page in pages_of_it if "<img src=x" in page]
