"""A person's own account in a real browser: two-factor sign-in from the first code to the refused second use of one."""

import pytest

from tests import people
from tests.e2e.conftest import OpenTab
from tests.e2e.stage import Stage
from tests.e2e.visitor import Visitor
from tests.people import PASSWORD, Person
from tests.second_factor import code, enrol, next_code

NEW = "another horse battery"


@pytest.fixture
def jane(stage: Stage) -> Person:
    """Somebody with a password."""
    with stage.gateway.services():
        return people.person(name="Jane", password=PASSWORD)


def set_up(tab: Visitor) -> str:
    """Set two-factor sign-in up on the account's page; give the secret that an app would have read."""
    tab.go("/account")
    tab.fill("Password", PASSWORD)
    tab.press("Set up")
    secret = tab.page.locator(".copyable code").inner_text()
    tab.fill("Code", code(secret))
    tab.press("Turn on")
    return secret


def give_password(tab: Visitor, person: Person, password: str = PASSWORD) -> None:
    tab.go("/sign-in/local?next=/workspaces")
    tab.fill("E-mail", person.email)
    tab.fill("Password", password)
    tab.press("Sign in")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_a_second_factor_is_set_up_and_asked_for(open_tab: OpenTab, jane: Person, scripts: bool) -> None:
    tab = open_tab(jane, java_script_enabled=scripts)
    secret = set_up(tab)
    shown = tab.page.locator("main").inner_text()
    visitor = open_tab(java_script_enabled=scripts)

    give_password(visitor, jane)
    asked = visitor.heading()
    visitor.fill("Code", next_code(secret))
    visitor.press("Sign in")

    assert "Each sign-in with your password asks for a code." in shown
    assert ("Two-factor sign-in", "Workspaces") == (asked, visitor.heading())


def test_the_picture_holds_what_the_text_says(open_tab: OpenTab, jane: Person) -> None:
    tab = open_tab(jane)
    tab.go("/account")
    tab.fill("Password", PASSWORD)
    tab.press("Set up")

    picture = tab.page.get_by_alt_text("The secret below as a QR code")

    size: dict[str, int] = picture.evaluate("image => ({drawn: image.naturalWidth, complete: image.complete})")
    assert size["complete"]
    assert size["drawn"] >= 150


def test_a_code_opens_nothing_a_second_time(stage: Stage, open_tab: OpenTab, jane: Person) -> None:
    with stage.gateway.services():
        secret = enrol(jane.user_id)
    given = code(secret)
    first, second = open_tab(), open_tab()
    give_password(first, jane)
    first.fill("Code", given)
    first.press("Sign in")
    give_password(second, jane)

    second.fill("Code", given)
    with second.expecting(422):
        second.press("Sign in")

    assert "Workspaces" == first.heading()
    assert "Two-factor sign-in" == second.heading()
    assert "was used before" in second.page.get_by_role("alert").inner_text()


def test_a_new_password_signs_out_the_other_browser(stage: Stage, open_tab: OpenTab, jane: Person) -> None:
    with stage.gateway.services():
        elsewhere = people.sign_in(jane.user_id, jane.email)
    tab, other = open_tab(jane), open_tab(elsewhere)
    other.go("/account")

    tab.go("/account")
    tab.fill("Current password", PASSWORD)
    tab.fill("New password", NEW)
    tab.press("Change password")
    other.page.reload()

    assert "Your other sessions have ended." in tab.page.locator("#toasts").inner_text()
    assert "Sign in" == other.heading()


def test_one_session_is_ended_from_another(stage: Stage, open_tab: OpenTab, jane: Person) -> None:
    with stage.gateway.services():
        elsewhere = people.sign_in(jane.user_id, jane.email)
    tab, other = open_tab(jane), open_tab(elsewhere)
    other.go("/account")

    tab.go("/account")
    tab.page.get_by_role("button", name="End the session in").click()
    tab.settle()
    other.page.reload()

    assert "Sign in" == other.heading()
    assert "this one" in tab.page.locator("main table").last.inner_text()


def test_an_admin_disables_somebody_who_then_is_out(stage: Stage, open_tab: OpenTab, jane: Person) -> None:
    tab, other = open_tab(stage.people["platform admin"]), open_tab(jane)
    other.go("/workspaces")

    tab.go("/workspaces")
    tab.follow("People")
    tab.page.get_by_label("Search").fill(jane.email)
    tab.page.wait_for_url("**q=**")
    tab.settle()
    tab.follow("Jane")
    tab.press("Disable…")
    tab.press("Disable account")
    other.page.reload()

    assert "The account is disabled." in tab.page.locator("#toasts").inner_text()
    assert "Sign in" == other.heading()
