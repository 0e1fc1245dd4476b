"""The sign-in page where there are identity providers, the door beside it, and the code after the password."""

from dataclasses import replace

import pytest

from app.auth import joining, policy, second_step, users
from app.console import guard
from app.networks import Networks
from app.units import utc_now
from app.workspace import members, workspaces
from app.workspace.members import By
from tests import directory, people
from tests.console import reading
from tests.factories import unique
from tests.people import PASSWORD
from tests.second_factor import STEP, break_glass_admin, code, enrol, wrong

LOCAL, CODE = "/sign-in/local", "/sign-in/local/code"


@pytest.fixture
def visitor(app):
    """A browser in which nobody is signed in."""
    return people.Browser(app.test_client())


@pytest.fixture
def jane(app):
    assert app.testing
    return people.person(name="Jane", password=PASSWORD)


@pytest.fixture
def corp(app):
    assert app.testing
    return directory.provider(name="Corp directory")


@pytest.fixture
def root(app):
    """The break-glass admin and the secret, single sign-on being required."""
    assert app.testing
    admin, secret = break_glass_admin()
    directory.provider(name="Corp directory", tested_by=admin.user_id, tested_at=utc_now())
    policy.require_sso(admin.user_id, now=utc_now())
    return admin, secret


def is_in(browser):
    return browser.client.get_cookie(guard.SESSION_COOKIE) is not None


def first_step(browser, person, at=LOCAL, **fields):
    return browser.post(at, {"email": person.email, "password": PASSWORD} | fields)


def second_step_of(browser, page, typed):
    """Fill in the form that asks for the code."""
    return browser.post(CODE, reading.form(page, CODE).values(code=typed))


def test_the_sign_in_page_leads_to_each_enabled_provider_and_back_to_where_one_wanted_to(visitor, corp):
    directory.disable(directory.provider(name="Old directory"))

    page = visitor.get("/sign-in?next=/workspaces")

    links = reading.links(page)
    assert f"/sign-in/with/{corp}?next=/workspaces" in links
    assert f"{LOCAL}?next=/workspaces" in links
    assert "Sign in with Corp directory" in reading.text(page)
    assert "Old directory" not in reading.text(page)
    assert 'type="password"' not in page.get_data(as_text=True)


def test_without_a_provider_the_sign_in_page_is_the_form(visitor, jane):
    page = visitor.get("/sign-in?next=/workspaces")

    answer = visitor.post("/sign-in", reading.form(page, "/sign-in").values(email=jane.email, password=PASSWORD))

    assert (303, "/workspaces") == (answer.status_code, answer.headers["Location"])


def test_a_local_account_signs_in_at_its_own_address(visitor, corp, jane):
    page = visitor.get(f"{LOCAL}?next=/workspaces")

    answer = visitor.post(LOCAL, reading.form(page, LOCAL).values(email=jane.email, password=PASSWORD))

    assert corp
    assert (303, "/workspaces") == (answer.status_code, answer.headers["Location"])
    assert is_in(visitor)


@pytest.mark.parametrize("at", [LOCAL, "/sign-in"])
def test_the_code_is_asked_for_after_the_password(visitor, jane, at):
    secret = enrol(jane.user_id)

    asked = first_step(visitor, jane, at=at, next="/workspaces")
    before = is_in(visitor)
    answer = second_step_of(visitor, asked, code(secret))

    assert 200 == asked.status_code
    assert "Two-factor sign-in" in reading.text(asked)
    assert PASSWORD not in asked.get_data(as_text=True)
    assert not before
    assert (303, "/workspaces") == (answer.status_code, answer.headers["Location"])
    assert is_in(visitor)


def test_a_code_never_leads_elsewhere(visitor, jane):
    secret = enrol(jane.user_id)
    asked = first_step(visitor, jane)

    fields = reading.form(asked, CODE).values(code=code(secret), next="https://evil.test/")

    assert "/" == visitor.post(CODE, fields).headers["Location"]


def test_a_wrong_code_is_told_and_another_may_be_typed(visitor, jane):
    secret = enrol(jane.user_id)
    asked = first_step(visitor, jane)

    refused = second_step_of(visitor, asked, wrong(secret))
    empty = second_step_of(visitor, refused, "")
    answer = second_step_of(visitor, empty, code(secret))

    assert [422, 422, 303] == [one.status_code for one in (refused, empty, answer)]
    assert "The code is wrong, or was used before." in reading.text(refused)
    assert "is missing" in reading.text(empty)


def test_a_replayed_code_is_refused(app, visitor, jane):
    given = code(enrol(jane.user_id))
    second_step_of(visitor, first_step(visitor, jane), given)
    thief = people.Browser(app.test_client())

    answer = second_step_of(thief, first_step(thief, jane), given)

    assert 422 == answer.status_code
    assert not is_in(thief)


def test_after_five_wrong_codes_the_page_says_how_long_to_wait(visitor, jane):
    secret = enrol(jane.user_id)
    asked = first_step(visitor, jane)
    for _ in range(5):
        asked = second_step_of(visitor, asked, wrong(secret))

    answer = second_step_of(visitor, asked, code(secret))

    assert 429 == answer.status_code
    assert f"Wait {answer.headers['Retry-After']} seconds" in reading.text(answer)
    assert not is_in(visitor)


def test_a_step_that_took_too_long_begins_again(visitor, jane):
    secret = enrol(jane.user_id)
    account = users.to_sign_in(jane.email)
    assert account
    long_ago = second_step.seal(jane.email, account.password_hash or "", now=utc_now() - second_step.LIFE)

    answer = visitor.post(CODE, {"ticket": long_ago, "code": code(secret)})

    assert 422 == answer.status_code
    assert "That took too long." in reading.text(answer)
    assert reading.form(answer, LOCAL)


def test_the_break_glass_admin_comes_in_by_the_local_address(visitor, root):
    admin, secret = root

    page = visitor.get(LOCAL)
    answer = second_step_of(visitor, first_step(visitor, admin), code(secret))

    assert "Single sign-on is required." in reading.text(page)
    assert 303 == answer.status_code
    assert is_in(visitor)


def test_the_sign_in_page_itself_takes_no_password_then(visitor, root):
    answer = first_step(visitor, root[0], at="/sign-in")

    assert 403 == answer.status_code
    assert "Single sign-on is required." in reading.text(answer)


def test_nobody_else_comes_in_and_is_told_why(visitor, root, jane):
    answer = first_step(visitor, jane)

    assert root
    assert 403 == answer.status_code
    assert "Sign in with your identity provider." in reading.text(answer)
    assert not is_in(visitor)


def test_the_wrong_network_is_refused_before_anything_is_looked_at(app, visitor, root):
    settings = app.extensions["settings"]
    app.extensions["settings"] = replace(settings, break_glass_networks=Networks.of(["10.0.0.0/8"]))

    answers = [visitor.get(LOCAL), first_step(visitor, root[0])]

    assert [403, 403] == [one.status_code for one in answers]
    assert all("Your address is 127.0.0.1." in reading.text(one) for one in answers)
    assert 200 == visitor.get("/sign-in").status_code


def test_who_is_signed_in_needs_no_form(app, jane):
    answer = jane.client(app).get(f"{LOCAL}?next=/workspaces")

    assert "/workspaces" == answer.headers["Location"]


def invitation(email):
    acme = workspaces.create(unique("acme"))
    owner = By(user_id=people.member(acme, "owner").user_id, role="owner")
    return acme, f"/join/{acme}/{joining.invite(acme, email, 'viewer', by=owner, now=utc_now())}"


def test_an_invited_person_may_join_with_a_provider(visitor, corp):
    _, address = invitation("new@corp.test")

    page = visitor.get(address)

    assert f"/sign-in/with/{corp}?next={address}" in reading.links(page)
    assert reading.form(page, address)


def test_an_invitation_makes_no_local_account_while_single_sign_on_is_required(visitor, root):
    acme, address = invitation("new@corp.test")

    page = visitor.get(address)
    answer = visitor.post(address, {"name": "New", "password": PASSWORD})

    assert root
    assert f"/sign-in?next={address}" in reading.links(page)
    assert answer.headers["Location"].startswith("/sign-in")
    assert not users.exists("new@corp.test")
    assert 1 == len(members.of(acme))


def test_the_next_code_opens_after_one_was_used(app, jane):
    secret = enrol(jane.user_id)
    now = utc_now()
    for typed in (code(secret, at=now), code(secret, at=now + STEP)):
        browser = people.Browser(app.test_client())
        second_step_of(browser, first_step(browser, jane), typed)
        assert is_in(browser)
