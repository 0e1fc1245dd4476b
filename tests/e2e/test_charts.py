"""Charts: drawn from the table below them, also where they come later, and a bar leads to where its row leads."""

from app.units import utc_now
from tests import people
from tests.e2e.conftest import OpenTab
from tests.e2e.stage import Stage
from tests.e2e.visitor import Visitor
from tests.factories import make_key


def test_a_bar_of_the_overview_leads_to_its_day(stage: Stage, owner_tab: Visitor) -> None:
    today = utc_now().date()
    owner_tab.go(stage.path())
    bars = owner_tab.page.locator("[data-plot] .u-over")
    box = bars.bounding_box()
    assert box

    bars.click(position={"x": box["width"] * (today.day - 0.5) / today.day, "y": box["height"] / 2})
    owner_tab.page.wait_for_url("**/usage?**")

    assert (today.isoformat(), today.isoformat()) == (owner_tab.query("from"), owner_tab.query("to"))


def test_the_first_call_brings_the_chart_without_a_reload(stage: Stage, open_tab: OpenTab) -> None:
    key = make_key(stage.gateway, stage.upstream)
    with stage.gateway.services():
        owner = people.member(key.workspace_id, "owner")
    tab = open_tab(owner)
    tab.go(f"/w/{key.workspace_id}/")
    before = tab.page.locator("ol.steps").count()

    assert 200 == key.chat().status_code
    stage.gateway.settled(1, key)
    tab.page.evaluate("() => htmx.ajax('GET', location.href, {target: '#figures', swap: 'outerHTML'})")
    tab.page.locator("[data-plot] canvas").wait_for()

    assert 1 == before
    assert 0 == tab.page.locator("ol.steps").count()
