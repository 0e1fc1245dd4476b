import json
from collections.abc import Iterator

import pytest
from flask import Flask

from app.console.guard import SESSION_COOKIE
from tests.console.shell import BY_BROWSER, BY_HTMX, app_without_servers, text_of, visitor
from tests.gateway_process import close_app
from tests.people import Browser


@pytest.fixture
def frame() -> Iterator[Flask]:
    app = app_without_servers()
    yield app
    close_app(app)


@pytest.fixture
def somebody(frame: Flask) -> Browser:
    return visitor(frame)


def test_a_browser_gets_a_page_where_nothing_is(somebody: Browser) -> None:
    answer = somebody.get("/nowhere", headers=BY_BROWSER)

    text = answer.get_data(as_text=True)
    assert answer.status_code == 404
    assert '<h1 class="state-title">There is nothing here</h1>' in text
    assert answer.headers["X-Request-Id"] in text
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/w/x", "/chat/x", "/api/x", "/openai/x"])
def test_the_api_answers_in_json_whoever_asks(somebody: Browser, path: str) -> None:
    for headers in (BY_BROWSER, {}):
        answer = somebody.get(path, headers=headers)

        assert answer.status_code == 404
        assert answer.get_json()["error"]["message"]


def test_a_program_gets_json_where_nothing_is(somebody: Browser) -> None:
    assert somebody.get("/nowhere").get_json()["error"]["message"]


def test_a_wrong_method_says_which_are_right(somebody: Browser) -> None:
    answer = somebody.client.put("/sign-in", headers=BY_BROWSER)

    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert "This cannot be done here" in answer.get_data(as_text=True)


def test_a_form_without_its_token_is_refused_with_a_page(app: Flask) -> None:
    answer = app.test_client().post("/style/well")

    assert answer.status_code == 403
    assert "This form is no longer valid." in answer.get_data(as_text=True)


def test_with_the_database_away_there_is_a_page_that_says_so(somebody: Browser) -> None:
    somebody.client.set_cookie(SESSION_COOKIE, "anything")

    answer = somebody.get("/workspaces")

    assert (503, "5") == (answer.status_code, answer.headers["Retry-After"])
    text = answer.get_data(as_text=True)
    assert "The database does not answer" in text
    assert "127.0.0.1" not in text


def test_bc_109_with_the_database_away_htmx_shows_a_message(somebody: Browser) -> None:
    somebody.client.set_cookie(SESSION_COOKIE, "anything")

    answer = somebody.get("/workspaces", headers=BY_HTMX)

    said = json.loads(answer.headers["HX-Trigger"])["toast"]
    assert answer.status_code == 503
    assert ("error", answer.headers["X-Request-Id"]) == (said["tone"], said["request_id"])
    assert said["text"].startswith("The database does not answer.")


def test_a_bug_is_a_page_with_the_number_that_the_log_has(
    frame: Flask, somebody: Browser, capfd: pytest.CaptureFixture[str]
) -> None:
    frame.view_functions["style.show"] = lambda: 1 / 0

    answer = somebody.get("/style")

    text = answer.get_data(as_text=True)
    assert answer.status_code == 500
    assert "The gateway failed" in text
    assert answer.headers["X-Request-Id"] in text
    assert "ZeroDivisionError" not in text
    logged = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "a page failed" in line]
    assert [answer.headers["X-Request-Id"]] == [line["request_id"] for line in logged]


def test_where_no_page_can_be_drawn_the_words_still_come(frame: Flask, somebody: Browser) -> None:
    frame.context_processor(lambda: {"never": 1 / 0})

    answer = somebody.get("/style")

    text = answer.get_data(as_text=True)
    assert answer.status_code == 500
    assert "<h1>The gateway failed</h1>" in text
    assert answer.headers["X-Request-Id"] in text


def test_a_console_of_its_own_has_the_same_pages() -> None:
    alone = app_without_servers(role="console")
    text = text_of(visitor(alone), "/nowhere", headers=BY_BROWSER)
    close_app(alone)

    assert "There is nothing here" in text


def test_a_proxy_of_its_own_has_no_page() -> None:
    alone = app_without_servers(role="proxy")
    answers = [alone.test_client().get(path, headers=BY_BROWSER) for path in ("/", "/sign-in", "/style")]
    close_app(alone)

    assert [404, 404, 404] == [answer.status_code for answer in answers]
    assert not any("topbar" in answer.get_data(as_text=True) for answer in answers)
