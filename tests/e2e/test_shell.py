"""The frame and its pieces, on the page that shows all of them: by mouse and keys, with scripts and without."""

from collections.abc import Iterator

import pytest

from app.workspace import members, workspaces
from tests.conftest import Servers
from tests.e2e.conftest import OpenTab
from tests.e2e.stage import Stage
from tests.e2e.visitor import Visitor
from tests.factories import unique
from tests.gateway_process import Gateway

SCRIPTS = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])


@pytest.fixture(scope="module")
def workshop(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A development installation: only there is the page."""
    database = servers.create()
    gateway = Gateway(database, tmp_path_factory.mktemp("workshop"), environment={"GATEWAY_ENV": "development"})
    yield gateway
    gateway.stop()
    servers.drop(database)


def style(open_tab: OpenTab, workshop: Gateway, **options: object) -> Visitor:
    tab = open_tab(address=workshop.url, **options)
    assert 200 == tab.go("/style").status
    tab.settle()
    return tab


def forgive(tab: Visitor, *words: str) -> None:
    """Leave out what htmx itself writes into the browser's console about a failure that was meant."""
    tab.faults[:] = [fault for fault in tab.faults if not any(word in fault for word in words)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_piece_can_be_used_by_everybody(workshop: Gateway, open_tab: OpenTab, scheme: str) -> None:
    tab = style(open_tab, workshop, color_scheme=scheme)
    tab.page.locator("#filled").wait_for()

    assert [] == tab.breaches()
    assert [] == tab.overflow(360)
    assert [] == tab.breaches()


@SCRIPTS
def test_on_a_telephone_the_sidebar_is_a_drawer(workshop: Gateway, open_tab: OpenTab, scripts: bool) -> None:
    size = {"width": 360, "height": 740}
    tab = style(open_tab, workshop, viewport=size, java_script_enabled=scripts)
    keys = tab.page.get_by_role("link", name="API keys")

    assert not keys.is_visible()
    tab.page.get_by_role("button", name="Navigation").press("Enter")
    assert keys.is_visible()
    tab.page.keyboard.press("Escape")
    assert not keys.is_visible()


@SCRIPTS
def test_a_dialog_opens_and_closes(workshop: Gateway, open_tab: OpenTab, scripts: bool) -> None:
    tab = style(open_tab, workshop, java_script_enabled=scripts)
    question = tab.page.get_by_role("dialog", name="Revoke this key?")

    tab.page.get_by_role("button", name="Revoke", exact=True).first.click()
    assert question.is_visible()
    question.get_by_role("button", name="Cancel").click()
    assert not question.is_visible()


def test_a_dangerous_button_waits_for_the_name(workshop: Gateway, open_tab: OpenTab) -> None:
    tab = style(open_tab, workshop)
    tab.page.get_by_role("button", name="Revoke", exact=True).first.click()
    question = tab.page.get_by_role("dialog", name="Revoke this key?")
    verb, name = question.get_by_role("button", name="Revoke key"), question.get_by_label("Type billing-service")

    assert question.evaluate("dialog => dialog.matches(':modal')")
    assert verb.is_disabled()
    name.fill("billing")
    assert verb.is_disabled()
    name.fill("billing-service")
    assert verb.is_enabled()


def test_a_change_is_told_and_the_message_goes_away(workshop: Gateway, open_tab: OpenTab) -> None:
    tab = open_tab(address=workshop.url)
    tab.page.clock.install()
    tab.go("/style")
    tab.press("It goes well")
    message = tab.page.locator(".toast", has_text="The key is revoked.")

    message.wait_for()
    tab.page.clock.run_for(7_000)
    message.wait_for(state="detached")


def test_a_failure_is_told_with_its_number_until_it_is_dismissed(workshop: Gateway, open_tab: OpenTab) -> None:
    tab = open_tab(address=workshop.url)
    tab.page.clock.install()
    tab.go("/style")
    with tab.expecting(503), tab.page.expect_response("**/style/badly") as answered:
        tab.press("It fails")
    message = tab.page.locator(".toast-error")

    message.wait_for()
    tab.page.clock.run_for(60_000)
    assert f"Request {answered.value.headers['x-request-id']}" in message.inner_text()
    message.get_by_role("button", name="Dismiss").click()
    message.wait_for(state="detached")
    forgive(tab, "/style/badly")


def test_a_message_is_seen_above_an_open_dialog(workshop: Gateway, open_tab: OpenTab) -> None:
    tab = style(open_tab, workshop)
    tab.page.get_by_role("button", name="Rename…").click()
    tab.press("Rename")
    message = tab.page.locator(".toast", has_text="The key is revoked.")

    message.wait_for()
    message.get_by_role("button", name="Dismiss").click()
    message.wait_for(state="detached")


def test_a_gateway_that_cannot_be_reached_is_told(workshop: Gateway, open_tab: OpenTab) -> None:
    tab = style(open_tab, workshop)
    tab.context.set_offline(True)
    tab.press("It goes well")

    tab.page.locator(".toast-error", has_text="The gateway cannot be reached.").wait_for()
    forgive(tab, "ERR_INTERNET_DISCONNECTED", "htmx:", "/style/well")


def test_a_place_that_waits_shows_what_went_wrong(workshop: Gateway, open_tab: OpenTab) -> None:
    tab = open_tab(address=workshop.url)
    page = {"status": 503, "content_type": "text/html; charset=utf-8", "body": "<p>Not now.</p>"}
    tab.page.route("**/style/slow", lambda route: route.fulfill(**page))
    with tab.expecting(503):
        tab.go("/style")
        tab.page.get_by_text("Not now.").wait_for()

    forgive(tab, "/style/slow")


@SCRIPTS
def test_a_form_that_was_not_right_says_so_beside_the_field(
    workshop: Gateway, open_tab: OpenTab, scripts: bool
) -> None:
    tab = style(open_tab, workshop, java_script_enabled=scripts)
    with tab.expecting(422):
        tab.fill("Monthly budget", "a lot")
        tab.press("Save")
        tab.page.get_by_text("must be a number").wait_for()

    budget = tab.page.get_by_label("Monthly budget")
    assert ("a lot", "true") == (budget.input_value(), budget.get_attribute("aria-invalid"))
    forgive(tab, "/style/problem")


@SCRIPTS
def test_colours_are_chosen_once_and_come_with_the_page(workshop: Gateway, open_tab: OpenTab, scripts: bool) -> None:
    tab = style(open_tab, workshop, java_script_enabled=scripts)
    change = tab.page.get_by_role("button", name="Change colours")
    seen = []
    for _ in range(3):
        change.click()
        tab.page.wait_for_load_state()
        answer = tab.page.reload()
        assert answer
        seen.append(answer.text().split("\n")[1].removeprefix('<html lang="en"').strip(" >"))

    assert ['data-theme="light"', 'data-theme="dark"', ""] == seen


def test_typed_text_is_not_lost_without_a_question(workshop: Gateway, open_tab: OpenTab) -> None:
    tab = style(open_tab, workshop)
    asked: list[str] = []
    tab.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))

    tab.go("/style")
    assert [] == asked
    tab.page.locator("#field-name").press_sequentially("half a na")
    tab.go("/style")
    assert ["beforeunload"] == asked


def test_a_text_is_copied(workshop: Gateway, open_tab: OpenTab) -> None:
    tab = style(open_tab, workshop)
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])

    tab.page.locator(".copyable", has_text="gw_7kq2").get_by_role("button", name="Copy").click()
    tab.page.get_by_text("Copied").wait_for()

    assert "gw_7kq2…c41f" == tab.page.evaluate("navigator.clipboard.readText()")


@SCRIPTS
def test_a_page_opens_in_a_dialog_or_as_itself(workshop: Gateway, open_tab: OpenTab, scripts: bool) -> None:
    tab = style(open_tab, workshop, java_script_enabled=scripts)

    tab.follow("Open a page in a dialog")
    tab.page.locator("#modal:modal" if scripts else "main").get_by_text("This part came later.").first.wait_for()

    assert ("/style" if scripts else "/style/slow") == tab.path


def test_the_keyboard_goes_first_to_the_content(workshop: Gateway, open_tab: OpenTab) -> None:
    tab = style(open_tab, workshop)

    tab.page.keyboard.press("Tab")
    skip = tab.page.get_by_role("link", name="Skip to the content")
    assert skip.evaluate("link => link === document.activeElement && link.getBoundingClientRect().top >= 0")
    tab.page.keyboard.press("Enter")
    assert "main" == tab.page.evaluate("document.activeElement.id")


def test_the_switcher_leads_to_another_workspace(stage: Stage, open_tab: OpenTab) -> None:
    person = stage.fresh()
    with stage.gateway.services():
        other = workspaces.create(unique("other"))
        members.add(other, person.user_id, "viewer", name=person.email)
        name = workspaces.get(other).name
    tab = open_tab(person)
    tab.go(stage.path())
    tab.page.locator(".switcher summary").click()
    tab.page.locator("#places").get_by_role("link", name=name).click()
    tab.page.wait_for_url(f"**/w/{other}/")

    assert name in tab.page.locator(".switcher summary").inner_text()


def test_without_scripts_the_switcher_leads_to_the_list(stage: Stage, open_tab: OpenTab) -> None:
    tab = open_tab(stage.people["owner"], java_script_enabled=False)
    tab.go(stage.path())
    tab.page.locator(".switcher summary").click()
    tab.follow("All workspaces")

    assert "/workspaces" == tab.path
