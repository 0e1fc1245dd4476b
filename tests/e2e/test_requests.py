"""A click costs one request: no page asks again and again for its parts."""

import pytest

from tests.e2e.conftest import OpenTab
from tests.e2e.stage import Stage


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_bc_105_a_click_on_the_usage_page_is_one_request(stage: Stage, open_tab: OpenTab, scripts: bool) -> None:
    tab = open_tab(stage.people["owner"], java_script_enabled=scripts)
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url) if "/static/" not in request.url else None)

    tab.go(stage.path("usage?group=key"))
    tab.page.wait_for_load_state("networkidle")
    opened = len(asked)
    tab.page.locator("main a[href*='&key=']").first.click()
    tab.page.wait_for_url("**&key=**")
    tab.page.wait_for_load_state("networkidle")

    assert (1, 2) == (opened, len(asked)), asked
