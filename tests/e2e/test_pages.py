"""Every page, as a person meets it: it loads, says what it is, can be left and come back to, read by all, on any screen."""

from pathlib import Path

import pytest

from tests.e2e.conftest import OpenTab
from tests.e2e.pages import LISTS, PLACES, Place
from tests.e2e.stage import Stage
from tests.e2e.visitor import Visitor

SCHEMES = ("light", "dark")
EVERY_PAGE = pytest.mark.parametrize("name", PLACES)
IN_THE_SIDEBAR = pytest.mark.parametrize("name", LISTS)


def address(stage: Stage, place: Place) -> str:
    path = place.path.format_map(stage.ids)
    return path if path.startswith("/") else stage.path(path)


def opened(stage: Stage, open_tab: OpenTab, name: str, **options: object) -> Visitor:
    """A tab that has the page open."""
    place = PLACES[name]
    tab = open_tab(stage.people.get(place.who), **options)
    answer = tab.go(address(stage, place))
    tab.settle()
    assert 200 == answer.status
    assert tab.heading().startswith(place.heading)
    return tab


@EVERY_PAGE
def test_a_page_can_be_used_by_everybody_on_every_screen(
    stage: Stage, open_tab: OpenTab, name: str, pictures: Path | None
) -> None:
    tab = opened(stage, open_tab, name)

    breaches, overflows = {}, {}
    for scheme in SCHEMES:
        tab.in_scheme(scheme)
        breaches[scheme] = tab.breaches()
        tab.picture(pictures, f"{name}-1440-{scheme}")
    for width in (390, 360):
        overflows[width] = tab.overflow(width)
    breaches["narrow"] = tab.breaches()
    for scheme in SCHEMES if pictures else ():
        tab.in_scheme(scheme)
        tab.picture(pictures, f"{name}-390-{scheme}", width=390)

    assert {"light": [], "dark": [], "narrow": []} == breaches
    assert {390: [], 360: []} == overflows


@EVERY_PAGE
def test_a_page_survives_reload_back_and_forward(stage: Stage, open_tab: OpenTab, name: str) -> None:
    tab = opened(stage, open_tab, name)
    tab.page.reload()
    tab.settle()
    here, heading = tab.path, tab.heading()

    tab.page.goto("about:blank")
    tab.page.go_back()
    tab.settle()

    assert (here, heading) == (tab.path, tab.heading())
    assert tab.page.locator("html > body header.topbar").count() == 1


@EVERY_PAGE
def test_a_page_needs_no_script(stage: Stage, open_tab: OpenTab, name: str) -> None:
    tab = opened(stage, open_tab, name, java_script_enabled=False)

    assert tab.page.locator("[aria-busy=true]:visible").count() == 0, "something waits for a script"
    assert tab.page.locator("main").inner_text().strip()


@IN_THE_SIDEBAR
def test_an_ended_session_leads_through_the_sign_in_page_back(stage: Stage, open_tab: OpenTab, name: str) -> None:
    somebody = stage.fresh()
    tab = open_tab(somebody)
    tab.go(address(stage, PLACES[name]))
    tab.settle()
    here = tab.path

    stage.end_sessions_of(somebody)
    tab.page.reload()

    assert "Sign in" == tab.heading()
    assert tab.query("next") == here
