import json
from collections.abc import Iterator

import pytest
from flask import Flask

from app.console import render
from tests.console.shell import BY_HTMX, app_without_servers, text_of, visitor
from tests.gateway_process import close_app
from tests.people import Browser


@pytest.fixture(scope="module")
def frame() -> Iterator[Flask]:
    app = app_without_servers()
    yield app
    close_app(app)


@pytest.fixture
def somebody(frame: Flask) -> Browser:
    return visitor(frame)


def is_whole(text: str) -> bool:
    return text.startswith("<!doctype html>") and "</html>" in text


def test_htmx_gets_the_block_and_a_browser_the_page(somebody: Browser) -> None:
    block, page = text_of(somebody, "/style/slow", headers=BY_HTMX), text_of(somebody, "/style/slow")

    assert ("This part came later." in block, "This part came later." in page) == (True, True)
    assert (is_whole(block), is_whole(page)) == (False, True)


@pytest.mark.parametrize("header", ["HX-Boosted", "HX-History-Restore-Request"])
def test_bc_110_going_back_and_boosted_links_get_the_whole_page(somebody: Browser, header: str) -> None:
    page = text_of(somebody, "/style/slow", headers=BY_HTMX | {header: "true"})

    assert ("This part came later." in page, is_whole(page)) == (True, True)


def test_bc_110_no_store_between_us_takes_a_block_for_a_page(somebody: Browser) -> None:
    answer = somebody.get("/style/slow", headers=BY_HTMX)

    assert {"HX-Request", "HX-Boosted", "HX-History-Restore-Request", "Cookie"} <= set(
        answer.vary.to_header().split(", ")
    )
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_change_by_htmx_is_shown_in_place_with_a_message(somebody: Browser) -> None:
    answer = somebody.post("/style/well", headers=BY_HTMX)

    assert answer.status_code == 200
    assert not is_whole(answer.get_data(as_text=True))
    said = json.loads(answer.headers["HX-Trigger"])["toast"]
    assert said == {"text": "The key is revoked.", "tone": "success", "request_id": answer.headers["X-Request-Id"]}


def test_a_change_by_a_plain_form_leads_on_and_the_next_page_says_so_once(somebody: Browser) -> None:
    answer = somebody.post("/style/well")
    first, second = text_of(somebody, "/style"), text_of(somebody, "/style")

    assert (303, "/style") == (answer.status_code, answer.headers["Location"])
    assert '<div class="toast toast-success" data-toast>' in first
    assert '<div class="toast toast-success" data-toast>' not in second


def test_a_message_that_somebody_else_wrote_is_not_shown(somebody: Browser) -> None:
    somebody.client.set_cookie(render.TOAST_COOKIE, "eyJ0ZXh0IjoiU2VuZCB1cyB5b3VyIGtleSJ9.aaaaaa.bbbbbbbbbbbbbbbb")

    page = somebody.get("/style")

    assert "<p>Send us your key" not in page.get_data(as_text=True)
    assert any(cookie.startswith("toast=;") for cookie in page.headers.getlist("Set-Cookie"))


def test_a_form_that_was_not_right_comes_back_filled_with_422(app: Flask) -> None:
    somebody = visitor(app)
    typed = {"budget": '"><script>1</script>'}

    by_htmx, plain = (somebody.post("/style/problem", typed, headers=headers) for headers in (BY_HTMX, {}))

    assert (422, 422) == (by_htmx.status_code, plain.status_code)
    block, page = by_htmx.get_data(as_text=True), plain.get_data(as_text=True)
    assert not is_whole(block)
    assert is_whole(page)
    for text in (block, page):
        assert "must be a number" in text
        assert "&#34;&gt;&lt;script&gt;1&lt;/script&gt;" in text
        assert "<script>1" not in text


def test_leaving_by_htmx_moves_the_browser_and_not_a_part_of_the_page(frame: Flask) -> None:
    with frame.test_request_context("/", headers=BY_HTMX):
        answer = render.leave("/workspaces", toast="The workspace is made.")

    assert (204, "/workspaces") == (answer.status_code, answer.headers["HX-Redirect"])
    assert "Location" not in answer.headers
    assert answer.headers["Set-Cookie"].startswith("toast=")
    assert "HttpOnly" in answer.headers["Set-Cookie"]


def test_the_message_of_a_change_survives_letters_that_headers_do_not_know(frame: Flask) -> None:
    with frame.test_request_context("/", headers=BY_HTMX):
        answer = render.done("console/style.html", block="filled", to="/", toast="通义千问\r\nX: y is archived.")

    assert answer.headers["HX-Trigger"].isascii()
    assert "\n" not in answer.headers["HX-Trigger"]
    assert json.loads(answer.headers["HX-Trigger"])["toast"]["text"] == "通义千问\r\nX: y is archived."
