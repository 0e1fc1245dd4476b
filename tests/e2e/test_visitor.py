"""The eyes of these tests see: a fault that is put into a page is found, so a page without one has none."""

import pytest

from tests.e2e.conftest import OpenTab
from tests.e2e.stage import Stage
from tests.e2e.visitor import Visitor

FAULTS = {
    "a script in the page": ("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')", "script"),
    "a style in the page": (
        "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">red</p>')",
        "style",
    ),
    "another host": ("fetch('http://127.0.0.2:9/').catch(() => 0)", "connect"),
    "a broken script": ("setTimeout(() => nothing.there, 0)", "nothing is not defined"),
    "a file that is missing": ("new Image().src = '/static/missing.png'", "404"),
}
BREACHES = {
    "too little contrast": ("main.querySelector('p, h1').classList.add('seeded')", "color-contrast"),
    "a picture without words": ("main.append(new Image())", "image-alt"),
    "a field without a label": ("main.append(document.createElement('input'))", "label"),
}


@pytest.fixture
def tab(stage: Stage, open_tab: OpenTab) -> Visitor:
    tab = open_tab(stage.people["owner"])
    tab.go(stage.path("settings"))
    tab.settle()
    return tab


@pytest.mark.parametrize("name", FAULTS)
def test_what_the_browser_complains_about_is_heard(tab: Visitor, name: str) -> None:
    script, word = FAULTS[name]

    tab.page.evaluate(f"() => {{ {script} }}")
    tab.wait_for_fault()

    assert [] != [fault for fault in tab.faults if word in fault], tab.faults
    tab.faults.clear()


@pytest.mark.parametrize("name", BREACHES)
def test_what_shuts_people_out_is_seen(tab: Visitor, name: str) -> None:
    script, rule = BREACHES[name]
    tab.page.evaluate("() => document.styleSheets[0].insertRule('.seeded { color: #ccc !important }', 0)")

    tab.page.evaluate(f"() => {{ const main = document.querySelector('main'); {script} }}")

    assert [rule] == sorted({breach.split(":")[0] for breach in tab.breaches()})


def test_what_is_too_wide_is_seen(tab: Visitor) -> None:
    tab.page.evaluate("() => { document.querySelector('main').style.width = '600px' }")

    assert [] != tab.overflow(390)
