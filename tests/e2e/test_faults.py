"""What goes wrong in front of a person: a double click, a session that ended, a server that is away."""

import re
from typing import Any

import pytest

from tests.e2e.conftest import OpenTab
from tests.e2e.stage import Stage
from tests.e2e.visitor import Visitor
from tests.factories import unique

SECRET = re.compile(r"gw_\w+_\w+")


def new_key(tab: Visitor, stage: Stage, name: str) -> None:
    """Fill the form of a new key."""
    tab.go(stage.path(f"keys/new?application={stage.key.application_id}"))
    tab.fill("Name", name)


def application_of(stage: Stage) -> str:
    (row,) = stage.gateway.sql("select name from application where application_id = %s", stage.key.application_id)
    return str(row["name"])


def keys_named(stage: Stage, name: str) -> list[dict[str, Any]]:
    return stage.gateway.sql("select key_id from api_key where name = %s", name)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_bc_112_a_double_click_makes_one_key(stage: Stage, open_tab: OpenTab, scripts: bool) -> None:
    tab, name = open_tab(stage.people["owner"], java_script_enabled=scripts), unique("clicked")
    new_key(tab, stage, name)

    tab.page.get_by_role("button", name="Create key", exact=True).dblclick()
    tab.page.get_by_text(re.compile(f"shown this once|^{name}$")).first.wait_for()

    assert 1 == len(keys_named(stage, name))
    assert SECRET.search(tab.read()) or not scripts


def test_bc_112_a_form_sent_again_after_back_makes_no_second_key(stage: Stage, open_tab: OpenTab) -> None:
    tab, name = open_tab(stage.people["owner"], java_script_enabled=False), unique("twice")
    new_key(tab, stage, name)
    tab.press("Create key")

    tab.page.go_back()
    tab.choose("Application", application_of(stage))
    tab.fill("Name", name)
    with tab.expecting(422):
        tab.press("Create key")

    assert 1 == len(keys_named(stage, name))
    assert SECRET.search(tab.read()) is None


def test_bc_109_what_is_wrong_stands_beside_the_field(stage: Stage, open_tab: OpenTab) -> None:
    tab = open_tab(stage.people["owner"])
    new_key(tab, stage, unique("wrong"))
    tab.type("requests_per_min", "abc")

    with tab.expecting(422):
        tab.press("Create key")

    field = tab.page.locator("[aria-invalid=true]")
    assert "abc" == field.input_value()
    assert "whole number" in tab.page.locator(f"#{field.get_attribute('id')}-problem").inner_text()


def test_bc_109_a_database_that_is_away_is_told_and_nothing_typed_is_lost(
    stage: Stage, open_tab: OpenTab, servers: Any
) -> None:
    tab, name = open_tab(stage.people["owner"]), unique("later")
    tab.go(stage.path("applications/new"))
    tab.fill("Name", name)

    with tab.expecting(503), servers.away(stage.gateway.database):
        tab.press("Create application")
        shown = tab.page.locator("#toasts").inner_text()
        typed = tab.page.get_by_label("Name", exact=True).input_value()
        page = open_tab(stage.people["owner"])
        with page.expecting(503):
            page.go(stage.path("keys"))
            told = page.read()
    tab.press("Create application")

    assert "database" in shown
    assert "Request" in shown
    assert name == typed
    assert "database" in told
    assert tab.page.get_by_role("heading", name=name).count() == 1


def test_a_session_that_ended_sends_a_live_search_to_the_sign_in_page(stage: Stage, open_tab: OpenTab) -> None:
    somebody = stage.fresh()
    tab = open_tab(somebody)
    tab.go(stage.path("keys"))

    stage.end_sessions_of(somebody)
    with tab.expecting(401):
        tab.page.get_by_role("searchbox").fill("anything")
        tab.page.wait_for_url("**/sign-in**")

    assert tab.query("next") == stage.path("keys")


def test_a_page_that_does_not_exist_says_so(stage: Stage, open_tab: OpenTab) -> None:
    tab = open_tab(stage.people["owner"])

    with tab.expecting(404):
        answer = tab.go(stage.path("nothing-here"))

    assert 404 == answer.status
    assert tab.page.locator("main h1").count() == 1
    assert [] == tab.breaches()


def test_too_low_a_role_is_told_who_can_help(stage: Stage, open_tab: OpenTab) -> None:
    tab = open_tab(stage.people["viewer"])

    with tab.expecting(403):
        answer = tab.go(stage.path("audit"))

    assert 403 == answer.status
    assert "role" in tab.page.locator("main").inner_text()
    assert [] == tab.breaches()


def test_what_a_role_may_not_do_is_not_offered(stage: Stage, open_tab: OpenTab) -> None:
    tab = open_tab(stage.people["viewer"])
    offered = {}

    for path in ("applications", "keys", "members", "providers", "models", "settings"):
        tab.go(stage.path(path))
        buttons = tab.page.locator("main form[method=post] button, main a[href$='/new']")
        offered[path] = buttons.all_inner_texts()

    assert {path: [] for path in offered} == offered
