import base64
from urllib.parse import unquote

import pytest

from app.auth import accounts, sessions, totp
from app.console import browsers, guard
from app.units import new_id, utc_now
from tests import directory, people, second_factor
from tests.console import reading
from tests.people import PASSWORD
from tests.second_factor import break_glass_admin, code, enrol, wrong

NEW = "another horse battery"
TWO_FACTOR = "/account/two-factor"


@pytest.fixture
def jane(app):
    assert app.testing
    return people.person(name="Jane", password=PASSWORD)


@pytest.fixture
def browser(app, jane):
    return jane.client(app)


def text_of(browser):
    return reading.text(browser.get("/account"))


def opens(app, person):
    """Whether a person's cookie still opens a page."""
    return 200 == person.client(app).get("/account").status_code


def test_the_menu_leads_to_the_account(browser):
    assert "/account" in reading.links(browser.get("/workspaces"))


def test_an_account_is_shown_with_identities_and_what_could_be_linked(browser, jane):
    corp, other = directory.provider(name="Corp"), directory.provider(name="Other")
    directory.disable(directory.provider(name="Old"))
    directory.identify(corp, jane.user_id)

    page = browser.get("/account")

    words = reading.text(page)
    assert all(one in words for one in ("Jane", jane.email, "Corp", str(jane.user_id), "Link Other"))
    assert not {"Link Corp", "Link Old"} & {one for one in ("Link Corp", "Link Old") if one in words}
    assert f"/account/identities/link/{other}" in reading.links(page)


def test_sessions_are_listed_with_the_one_that_looks(browser, jane):
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    sessions.start(jane.user_id, ip="203.0.113.7", user_agent=firefox, now=utc_now())

    words = text_of(browser)

    assert "Firefox on Linux 203.0.113.7 password" in words
    assert "Unknown browser this one 127.0.0.1" in words


def test_one_session_ends_and_the_others_stay(app, browser, jane):
    meant = people.sign_in(jane.user_id, jane.email)
    (address,) = [one for one in ends(browser) if one.endswith("/end")]

    answer = browser.post(address)

    assert (303, "/account") == (answer.status_code, answer.headers["Location"])
    assert not opens(app, meant)
    assert opens(app, jane)


def test_all_others_end(app, browser, jane):
    others = [people.sign_in(jane.user_id, jane.email) for _ in range(2)]

    browser.post("/account/sessions/end-others")

    assert [False, False, True] == [opens(app, one) for one in (*others, jane)]
    assert "End all others" not in text_of(browser)


def test_bc_099_nobody_ends_a_session_of_another(app, browser):
    john = people.person()
    (theirs,) = sessions.of(john.user_id, now=utc_now())

    answers = [browser.post(f"/account/sessions/{own}/end") for own in (theirs.session_id, new_id())]

    assert [303, 303] == [one.status_code for one in answers]
    assert opens(app, john)


def test_the_page_shows_no_cookie(browser, jane):
    other = people.sign_in(jane.user_id, jane.email)

    page = browser.get("/account").get_data(as_text=True)

    assert jane.cookie not in page
    assert other.cookie not in page
    assert other.form_token not in page


def test_the_password_changes_and_other_sessions_end(app, browser, jane):
    other = people.sign_in(jane.user_id, jane.email)

    answer = browser.post("/account/password", {"current_password": PASSWORD, "new_password": NEW})

    visitor = people.Browser(app.test_client())
    tries = [visitor.post("/sign-in", {"email": jane.email, "password": one}) for one in (PASSWORD, NEW)]
    assert 303 == answer.status_code
    assert [422, 303] == [one.status_code for one in tries]
    assert [False, True] == [opens(app, one) for one in (other, jane)]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"current_password": "wrong horse battery"}, "is wrong"),
        ({"new_password": "short"}, "must have 12 to 200 characters"),
        ({"current_password": ""}, "is wrong"),
    ],
)
def test_bc_109_what_is_wrong_stands_beside_its_field(browser, fields, problem):
    answer = browser.post("/account/password", {"current_password": PASSWORD, "new_password": NEW} | fields)

    assert 422 == answer.status_code
    assert problem in reading.text(answer)
    assert NEW not in answer.get_data(as_text=True)


def test_passwords_are_not_guessed_here(browser):
    for _ in range(5):
        browser.post("/account/password", {"current_password": "wrong horse battery", "new_password": NEW})

    answer = browser.post("/account/password", {"current_password": PASSWORD, "new_password": NEW})

    assert 429 == answer.status_code
    assert f"Wait {answer.headers['Retry-After']} seconds" in reading.text(answer)


def test_an_account_without_a_password_has_neither_form(app):
    page = people.person().client(app).get("/account")

    assert "you sign in with an identity provider" in reading.text(page)
    assert 'type="password"' not in page.get_data(as_text=True)


def test_two_factor_sign_in_is_set_up_with_an_app(browser, jane):
    begun = browser.post(TWO_FACTOR, {"password": PASSWORD})
    page = browser.get(TWO_FACTOR)
    waiting = totp.pending(jane.user_id)
    assert waiting

    answer = browser.post(f"{TWO_FACTOR}/confirm", {"code": code(waiting.secret)})

    assert (303, TWO_FACTOR) == (begun.status_code, begun.headers["Location"])
    assert waiting.secret in reading.text(page)
    assert "no-store" in page.headers["Cache-Control"]
    assert (303, "/account") == (answer.status_code, answer.headers["Location"])
    assert accounts.get(jane.user_id, now=utc_now()).two_factor_since
    assert "Turn off" in text_of(browser)


def test_the_picture_needs_nothing_that_the_policy_forbids(browser, jane):
    browser.post(TWO_FACTOR, {"password": PASSWORD})
    page = browser.get(TWO_FACTOR)

    (image,) = [given for tag, given in reading.attributes(page) if tag == "img" and given["src"].startswith("data:")]

    svg = _svg(image["src"])
    assert svg.startswith("<svg ")
    assert not {"<style", "style=", "<script"} & {one for one in ("<style", "style=", "<script") if one in svg}
    assert image["alt"]
    assert "img-src 'self' data:" in page.headers["Content-Security-Policy"]
    assert jane


def test_a_wrong_first_code_shows_the_same_secret_again(browser, jane):
    browser.post(TWO_FACTOR, {"password": PASSWORD})
    waiting = totp.pending(jane.user_id)
    assert waiting

    answer = browser.post(f"{TWO_FACTOR}/confirm", {"code": wrong(waiting.secret)})

    assert 422 == answer.status_code
    assert waiting.secret in reading.text(answer)
    assert "Codes change every 30 seconds" in reading.text(answer)
    assert "Set up" in text_of(browser)


def test_first_codes_are_not_guessed_here(browser, jane):
    browser.post(TWO_FACTOR, {"password": PASSWORD})
    waiting = totp.pending(jane.user_id)
    assert waiting
    for _ in range(5):
        browser.post(f"{TWO_FACTOR}/confirm", {"code": wrong(waiting.secret)})

    answer = browser.post(f"{TWO_FACTOR}/confirm", {"code": code(waiting.secret)})

    assert 429 == answer.status_code
    assert second_factor.counts_since(jane.user_id) is None


def test_the_secret_is_shown_only_until_it_counts(browser, jane):
    enrol(jane.user_id)

    answers = [browser.get(TWO_FACTOR), browser.post(f"{TWO_FACTOR}/confirm", {"code": "123456"})]

    assert [(303, "/account")] * 2 == [(one.status_code, one.headers["Location"]) for one in answers]


@pytest.mark.parametrize(("password", "status"), [(PASSWORD, 303), ("wrong horse battery", 422)])
def test_setting_it_up_takes_the_password(browser, jane, password, status):
    assert status == browser.post(TWO_FACTOR, {"password": password}).status_code
    assert (status == 303) == bool(totp.pending(jane.user_id))


def test_it_is_turned_off_with_password_and_code(browser, jane):
    secret = enrol(jane.user_id)

    refused = browser.post(f"{TWO_FACTOR}/off", {"password": PASSWORD, "code": wrong(secret)})
    answer = browser.post(f"{TWO_FACTOR}/off", {"password": PASSWORD, "code": code(secret)})

    assert [422, 303] == [refused.status_code, answer.status_code]
    assert "was used before" in reading.text(refused)
    assert "Set up" in text_of(browser)


def test_the_one_who_can_break_the_glass_keeps_it(app):
    from app.auth import policy

    admin, secret = break_glass_admin()
    directory.provider(tested_by=admin.user_id, tested_at=utc_now())
    policy.require_sso(admin.user_id, now=utc_now())

    answer = admin.client(app).post(f"{TWO_FACTOR}/off", {"password": PASSWORD, "code": code(secret)})

    assert 422 == answer.status_code
    assert "is the only one that gets in" in reading.text(answer)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18 Safari/605.1.15", "Safari on macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18 Safari/604.1", "Safari on iOS"),
        ("curl/8.0", "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_browsers_are_named_as_people_know_them(agent, name):
    assert name == browsers.name_of(agent)


def test_bc_104_what_a_browser_calls_itself_is_text(browser, jane):
    sessions.start(jane.user_id, ip="127.0.0.1", user_agent='"><script>1</script>', now=utc_now())

    assert "<script>1" not in browser.get("/account").get_data(as_text=True)
    assert guard.SESSION_COOKIE


def ends(browser):
    """Where the buttons lead that end sessions."""
    page = browser.get("/account")
    actions = [given.get("action", "") for tag, given in reading.attributes(page) if tag == "form"]
    return [one for one in actions if one.startswith("/account/sessions/")]


def _svg(address):
    kind, _, content = address.partition(",")
    return base64.b64decode(content).decode() if "base64" in kind else unquote(content)
