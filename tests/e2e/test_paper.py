"""A statement as it leaves the printer: black on white, whatever the screen has, and nothing around it."""

from tests.e2e.conftest import OpenTab
from tests.e2e.stage import Stage

AROUND = ".topbar, .sidebar, .heading-actions, form, .toasts"
COLOURS = "one => { const style = getComputedStyle(one); return [style.color, style.backgroundColor] }"
BLACK, WHITE = "rgb(0, 0, 0)", "rgb(255, 255, 255)"


def test_a_statement_is_printed_black_on_white_without_the_console(stage: Stage, open_tab: OpenTab) -> None:
    for view in ("", "/print"):
        tab = open_tab(stage.people["owner"])
        tab.go(stage.path(f"statements/{stage.ids['statement_id']}{view}"))
        tab.in_scheme("dark")
        on_screen = tab.page.locator("body").evaluate(COLOURS)

        tab.page.emulate_media(media="print")

        assert [BLACK, WHITE] == tab.page.locator("body").evaluate(COLOURS), on_screen
        assert 0 == tab.page.locator(AROUND).locator("visible=true").count()
        assert tab.page.get_by_role("row", name="Total").is_visible()
