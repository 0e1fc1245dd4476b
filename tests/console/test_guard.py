import re
from datetime import timedelta

import pytest
from sqlalchemy import event, text

from app.auth import sessions
from app.console import guard
from app.extensions import db, transaction
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import members, workspaces
from tests import people
from tests.console import reading
from tests.factories import unique

HTMX = {"HX-Request": "true"}


def page_of(workspace_id):
    return f"/w/{workspace_id}/members"


def entries(workspace_id):
    with transaction(workspace_id) as session:
        found = text("select * from audit_outbox where outcome = 'refused' order by occurred_at, audit_id")
        return session.execute(found).mappings().all()


def without_numbers(answer, asked):
    """What a page says, without the number of the request, that of its scripts and the address that was asked for."""
    page = answer.get_data(as_text=True).replace(answer.headers["X-Request-Id"], "").replace(str(asked), "")
    return re.sub(r'nonce="[^"]*"', "", page)


@pytest.mark.parametrize(
    "path", ["/", "/workspaces", "/w/{}/members", "/w/00000000-0000-7000-8000-00000000dead/members"]
)
def test_nobody_is_sent_to_the_sign_in_page_and_back_afterwards(app, acme, path):
    answer = app.test_client().get(path.format(acme))

    assert 303 == answer.status_code
    expected = "/sign-in" if path == "/" else f"/sign-in?next={path.format(acme).replace('/', '%2F')}"
    assert expected == answer.headers["Location"]


def test_an_ended_session_sends_htmx_to_the_sign_in_page_as_a_whole(app, acme):
    current = f"http://localhost/w/{acme}/members?q=a"
    answer = app.test_client().get(page_of(acme), headers=HTMX | {"HX-Current-URL": current})

    assert 401 == answer.status_code
    assert f"/sign-in?next=%2Fw%2F{acme}%2Fmembers%3Fq%3Da" == answer.headers["HX-Redirect"]
    assert b"" == answer.data


@pytest.mark.parametrize(
    "current", ["http://evil.test/w/x", "//evil.test", "javascript:alert(1)", "http://localhost//evil.test", "http://["]
)
def test_the_way_back_is_never_to_somebody_else(app, acme, current):
    answer = app.test_client().get(page_of(acme), headers=HTMX | {"HX-Current-URL": current})

    assert "/sign-in" == answer.headers["HX-Redirect"]


@pytest.mark.parametrize(("minutes", "status"), [(119, 200), (121, 303)])
def test_a_session_that_nobody_used_for_two_hours_is_over(app, acme, minutes, status):
    jane = people.member(acme, "viewer")
    with transaction(PLATFORM_ID) as session:
        then = {"then": utc_now() - timedelta(minutes=minutes)}
        session.execute(text("update console_session set last_seen_at = :then"), then)

    assert status == jane.client(app).get(page_of(acme)).status_code


def test_bc_099_a_foreign_workspace_and_none_are_the_same_404_and_both_are_written_down(app, acme):
    stranger = people.member(workspaces.create(unique("other")), "owner").client(app)

    asked = (acme, new_id())
    answers = [stranger.get(page_of(workspace_id)) for workspace_id in asked]

    assert [404, 404] == [answer.status_code for answer in answers]
    assert 1 == len({without_numbers(*pair) for pair in zip(answers, asked, strict=True)})
    assert ["answered 404"] * 2 == [one["reason"] for one in entries(PLATFORM_ID)]
    assert [] == entries(acme)


def test_bc_095_too_low_a_role_is_a_403_that_is_written_down_and_changes_nothing(app, acme):
    owner, viewer = people.member(acme, "owner"), people.member(acme, "viewer")

    answer = viewer.client(app).post(f"{page_of(acme)}/{owner.user_id}/role", {"role": "viewer"})

    assert 403 == answer.status_code
    assert "owner" == members.role_of(acme, owner.user_id)
    (entry,) = entries(acme)
    assert ("member.change_role", str(owner.user_id), "person", viewer.email, "viewer") == (
        entry["action"],
        entry["object_id"],
        entry["actor_kind"],
        entry["actor_name"],
        entry["actor_role"],
    )


def test_a_change_that_nobody_asks_for_is_written_down_as_nobodys(app, acme):
    answer = app.test_client().post(f"{page_of(acme)}/{new_id()}/role", headers={"User-Agent": "curl/8"})

    (entry,) = entries(PLATFORM_ID)
    assert 303 == answer.status_code
    assert ("nobody", "127.0.0.1", "curl/8", "answered 401") == (
        entry["actor_kind"],
        entry["ip"],
        entry["user_agent"],
        entry["reason"],
    )


def test_a_flood_of_changes_by_nobody_does_not_fill_the_audit_trail(app, acme, monkeypatch):
    monkeypatch.setattr(guard, "MOST_NOTES_PER_MIN", 3)
    guard._nobodys.clear()

    for _ in range(5):
        app.test_client().post("/workspaces")

    assert acme
    assert 3 == len(entries(PLATFORM_ID))


@pytest.mark.parametrize("token", ["", "x", "another session's", "a visitor's"])
def test_a_change_needs_the_token_of_its_own_session(app, acme, token):
    owner, other = people.member(acme, "owner"), people.member(acme, "viewer")
    browser = owner.client(app)
    given = {"another session's": people.sign_in(owner.user_id, owner.email).form_token}.get(token, token)
    if token == "a visitor's":
        given = reading.form(app.test_client().get("/sign-in"), "/sign-in").fields[0][1]

    answer = browser.client.post(f"{page_of(acme)}/{other.user_id}/role", data={"role": "admin", "csrf_token": given})

    assert 403 == answer.status_code
    assert "This form is no longer valid" in reading.text(answer)
    assert "viewer" == members.role_of(acme, other.user_id)


def test_the_token_is_taken_from_htmx_header_too(app, acme):
    owner, other = people.member(acme, "owner"), people.member(acme, "viewer")

    headers = HTMX | {"X-CSRFToken": owner.form_token}
    answer = owner.client(app).client.post(
        f"{page_of(acme)}/{other.user_id}/role", data={"role": "admin"}, headers=headers
    )

    assert 200 == answer.status_code
    assert "admin" == members.role_of(acme, other.user_id)


def test_a_role_that_is_taken_away_is_gone_with_the_next_click(app, acme):
    owner, jane = people.member(acme, "owner"), people.member(acme, "admin")
    browser = jane.client(app)
    assert 200 == browser.get(f"{page_of(acme)}/invite").status_code

    members.change_role(acme, jane.user_id, "viewer", by=members.By(user_id=owner.user_id, role="owner"), name="jane")
    assert 403 == browser.get(f"{page_of(acme)}/invite").status_code
    members.remove(acme, jane.user_id, by=members.By(user_id=owner.user_id, role="owner"), name="jane")
    assert 404 == browser.get(page_of(acme)).status_code


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("auditor", 403)])
def test_those_of_the_platform_enter_every_workspace(app, acme, role, status):
    browser = people.person(platform_role=role).client(app)

    assert 200 == browser.get(page_of(acme)).status_code
    assert status == browser.get(f"{page_of(acme)}/invite").status_code
    assert 404 == browser.get(page_of(new_id())).status_code


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
def test_cookies_are_for_the_server_alone_and_for_https_where_that_is_spoken(app, scheme, secure):
    answer = app.test_client().get("/sign-in", base_url=f"{scheme}://gateway.test")

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(guard.VISIT_COOKIE)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert secure == ("Secure" in cookie)


def test_the_console_does_nothing_on_a_proxied_call(app):
    """What it needs before and after a request hangs on its own blueprints."""
    everywhere = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)

    assert [] == [hook for hooks in everywhere for hook in hooks.get(None, [])]


def test_finding_out_who_asks_and_where_takes_four_statements(app, acme):
    browser, seen = people.member(acme, "viewer").client(app), []
    listener = lambda *given: seen.append(given[2])  # noqa: E731

    event.listen(db.engine, "before_cursor_execute", listener)
    browser.get(f"{page_of(acme)}/invite")
    event.remove(db.engine, "before_cursor_execute", listener)

    reads = [one for one in seen if "audit_outbox" not in one]
    assert 4 == len(reads), reads


def test_a_database_that_is_away_is_a_503_and_not_a_way_in(app, acme, servers, fresh_database):
    browser = people.member(acme, "owner").client(app)

    with servers.away(fresh_database):
        answer = browser.get(page_of(acme))

    assert 503 == answer.status_code
    assert 200 == browser.get(page_of(acme)).status_code


def test_a_cookie_that_is_no_session_is_nobody(app, acme):
    for cookie in ("", "x" * 3000, "ü", "' or 1=1 --", sessions.form_tokens("x")[0]):
        client = app.test_client()
        client.set_cookie(guard.SESSION_COOKIE, cookie)
        assert 303 == client.get(page_of(acme)).status_code
