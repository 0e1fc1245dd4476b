import httpx
import pytest
from sqlalchemy import text

from app.auth import joining, users
from app.console import guard, origin
from app.extensions import transaction
from app.units import PLATFORM_ID, utc_now
from app.workspace import members, workspaces
from app.workspace.members import By
from tests import people
from tests.console import reading
from tests.factories import unique

PASSWORD = "correct horse battery"


@pytest.fixture
def visitor(app):
    """A browser in which nobody is signed in."""
    return people.Browser(app.test_client())


@pytest.fixture
def jane(app):
    assert app.testing
    return people.person(name="Jane", password=PASSWORD)


def sign_in(browser, email, password=PASSWORD, **fields):
    return browser.post("/sign-in", {"email": email, "password": password} | fields)


def cookie_of(browser):
    found = browser.client.get_cookie(guard.SESSION_COOKIE)
    return found.value if found else None


def link(workspace_id, email, role="viewer"):
    owner = By(user_id=people.member(workspace_id, "owner").user_id, role="owner")
    return f"/join/{workspace_id}/{joining.invite(workspace_id, email, role, by=owner, now=utc_now())}"


def test_the_right_password_leads_in(visitor, jane):
    answer = sign_in(visitor, jane.email.upper())

    assert (303, "/") == (answer.status_code, answer.headers["Location"])
    assert "Jane" in reading.text(visitor.get("/workspaces"))
    cookie = next(one for one in answer.headers.getlist("Set-Cookie") if one.startswith(guard.SESSION_COOKIE))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Expires" not in cookie


@pytest.mark.parametrize(("email", "password"), [(None, "wrong horse battery"), ("nobody@example.test", PASSWORD)])
def test_a_wrong_address_and_a_wrong_password_are_told_the_same(visitor, jane, email, password):
    answer = sign_in(visitor, email or jane.email, password)

    assert 422 == answer.status_code
    assert "The e-mail or the password is wrong." in reading.text(answer)
    assert password not in answer.get_data(as_text=True)
    assert cookie_of(visitor) is None


@pytest.mark.parametrize("missing", ["email", "password"])
def test_bc_109_a_missing_field_is_told_beside_it(visitor, jane, missing):
    answer = sign_in(visitor, **{"email": jane.email, "password": PASSWORD} | {missing: ""})

    assert 422 == answer.status_code
    assert "is missing" in reading.text(answer)


def test_after_five_failures_the_page_says_how_long_to_wait(visitor, jane):
    for _ in range(5):
        sign_in(visitor, jane.email, "wrong horse battery")

    answer = sign_in(visitor, jane.email)

    assert 429 == answer.status_code
    assert 1 <= int(answer.headers["Retry-After"]) <= 5
    assert f"Wait {answer.headers['Retry-After']} seconds" in reading.text(answer)
    assert cookie_of(visitor) is None


def test_bc_094_the_session_changes_at_sign_in_and_is_over_after_sign_out(app, visitor, jane):
    fields = {"email": jane.email, "password": PASSWORD, "csrf_token": visitor._visitors_token()}
    visitor.client.post("/sign-in", data=fields)
    first = cookie_of(visitor)
    visitor.client.post("/sign-in", data=fields)
    second = cookie_of(visitor)
    token = reading.form(visitor.get("/workspaces"), "/sign-out").fields[0][1]
    answer = visitor.client.post("/sign-out", data={"csrf_token": token})

    assert 303 == answer.status_code
    assert first
    assert second
    assert first != second
    assert cookie_of(visitor) is None
    for replayed in (first, second):
        client = app.test_client()
        client.set_cookie(guard.SESSION_COOKIE, replayed)
        assert "/sign-in?next=%2Fworkspaces" == client.get("/workspaces").headers["Location"]


def test_bc_094_a_session_id_brought_along_is_not_taken_over(app, jane):
    visitor = people.Browser(app.test_client())
    visitor.client.set_cookie(guard.SESSION_COOKIE, "chosen-by-an-attacker")

    sign_in(visitor, jane.email)

    assert "chosen-by-an-attacker" != cookie_of(visitor)


@pytest.mark.parametrize("method", ["post", "get"])
def test_sign_out_needs_the_form(visitor, jane, method):
    sign_in(visitor, jane.email)

    assert getattr(visitor.client, method)("/sign-out").status_code in {403, 405}
    assert 200 == visitor.get("/workspaces").status_code


def test_signing_in_needs_the_form_of_this_browser(app, visitor, jane):
    token = visitor._visitors_token()
    other = app.test_client()

    for client, given in ((other, token), (visitor.client, ""), (visitor.client, token + "x")):
        answer = client.post("/sign-in", data={"email": jane.email, "password": PASSWORD, "csrf_token": given})
        assert 403 == answer.status_code
    assert cookie_of(visitor) is None
    with transaction(PLATFORM_ID) as session:
        assert 0 == session.scalar(text("select count(*) from sign_in_attempt"))


def test_a_sign_in_page_that_was_open_before_still_works(visitor, jane):
    token = visitor._visitors_token()
    sign_in(visitor, jane.email)

    answer = visitor.client.post("/sign-in", data={"email": jane.email, "password": PASSWORD, "csrf_token": token})

    assert 303 == answer.status_code


@pytest.mark.parametrize("path", ["/workspaces", "/w/x/keys?q=a&after=b", "/w/x/usage?group=model#chart"])
def test_sign_in_leads_back_to_where_one_wanted_to(visitor, jane, path):
    form = reading.form(visitor.client.get("/sign-in", query_string={"next": path}), "/sign-in")

    answer = sign_in(visitor, jane.email, next=dict(form.fields)["next"])

    assert path == answer.headers["Location"]


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.test/",
        "//evil.test",
        "///evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "javascript:alert(1)",
        "evil.test",
        "/%0d%0aSet-Cookie: a=b\r\n",
        "/\t/evil.test",
        " //evil.test",
        "/sign-out",
        "http://[",
        "",
    ],
)
def test_sign_in_never_leads_elsewhere(visitor, jane, target):
    assert "/" == origin.own_path(target)
    assert "/" == sign_in(visitor, jane.email, next=target).headers["Location"]


def test_who_is_signed_in_needs_no_form(visitor, jane):
    sign_in(visitor, jane.email)

    assert "/workspaces" == visitor.get("/sign-in?next=/workspaces").headers["Location"]


def test_bc_103_no_page_of_signing_in_is_kept_by_a_cache(visitor):
    answer = visitor.get("/sign-in")

    assert "no-store" in answer.headers["Cache-Control"]
    assert {"Cookie", "HX-Request"} <= set(answer.vary)


def test_an_invited_person_makes_an_account_and_is_in(visitor, acme):
    address = link(acme, "Jane.Doe@corp.test", "developer")
    page = visitor.get(address)

    answer = visitor.post(address, {"name": "Jane", "password": PASSWORD})

    assert "jane.doe@corp.test is invited" in reading.text(page)
    assert (303, f"/w/{acme}/") == (answer.status_code, answer.headers["Location"])
    assert "developer" == members.role_of(acme, users.id_of("jane.doe@corp.test"))
    assert 200 == visitor.get(f"/w/{acme}/members").status_code


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": ""}, "must have 1 to 200 characters"),
        ({"password": "eleven char"}, "must have 12 to 200 characters"),
        ({"password": ""}, "must have 12 to 200 characters"),
    ],
)
def test_bc_109_what_is_wrong_with_a_new_account_stands_beside_its_field(visitor, acme, fields, problem):
    address = link(acme, "jane@corp.test")

    answer = visitor.post(address, {"name": "Jane", "password": PASSWORD} | fields)

    assert 422 == answer.status_code
    assert problem in reading.text(answer)
    assert not users.exists("jane@corp.test")


def test_bc_112_a_second_click_on_join_leads_in_as_the_first_did(visitor, acme):
    address = link(acme, "jane@corp.test")
    fields = {"name": "Jane", "password": PASSWORD, "csrf_token": visitor._visitors_token()}
    answers = [visitor.client.post(address, data=fields) for _ in range(2)]

    assert [(303, f"/w/{acme}/")] * 2 == [(one.status_code, one.headers["Location"]) for one in answers]
    assert 2 == len(members.of(acme))


def test_who_has_an_account_signs_in_and_joins(visitor, acme, jane):
    address = link(acme, jane.email, "billing")
    (to_sign_in,) = [one for one in reading.links(visitor.get(address)) if one.startswith("/sign-in")]
    refused = visitor.post(address, {"name": "Jane", "password": PASSWORD})
    form = reading.form(visitor.get(to_sign_in), "/sign-in")

    back = sign_in(visitor, jane.email, next=dict(form.fields)["next"]).headers["Location"]
    token = dict(reading.form(visitor.get(back), address).fields)["csrf_token"]
    answer = visitor.client.post(back, data={"csrf_token": token})

    assert to_sign_in == refused.headers["Location"]
    assert address == back
    assert f"/w/{acme}/" == answer.headers["Location"]
    assert "billing" == members.role_of(acme, jane.user_id)


def test_an_invitation_of_somebody_else_lets_nobody_in(app, acme, jane):
    address = link(acme, "other@corp.test")

    page, answer = jane.client(app).get(address), jane.client(app).post(address)

    assert f"You are signed in as {jane.email}" in reading.text(page)
    assert 409 == answer.status_code
    assert members.role_of(acme, jane.user_id) is None


def test_a_link_that_opens_nothing_is_a_404(visitor, acme):
    address = link(acme, "jane@corp.test")

    for path in (address[:-1], f"/join/{workspaces.create(unique('other'))}/{address.split('/')[-1]}"):
        assert 404 == visitor.get(path).status_code
        assert 404 == visitor.post(path, {"name": "Jane", "password": PASSWORD}).status_code


def test_bc_104_names_of_workspace_and_person_are_text(visitor, app):
    workspace_id = workspaces.create('"><img src=x onerror=alert(1)>{{7*7}}')
    address = link(workspace_id, "jane@corp.test")

    page = visitor.get(address).get_data(as_text=True)
    again = visitor.post(address, {"name": "<script>1</script>", "password": "short"}).get_data(as_text=True)

    assert app.testing
    assert "<img src=x" not in page
    assert "{{7*7}}" in page
    assert "<script>1" not in again


def test_signing_in_works_over_real_processes_behind_a_proxy_that_speaks_https(gateway):
    with gateway.services():
        email = people.person(password=PASSWORD).email
    https = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
    with httpx.Client(base_url=gateway.url, trust_env=False, headers=https) as client:
        page = client.get("/sign-in/local")
        cookies = {
            name.partition("=")[0]: name.partition("=")[2].split(";")[0] for name in page.headers.get_list("Set-Cookie")
        }
        token = dict(reading.form(page.text, "/sign-in/local").fields)["csrf_token"]
        fields = {"email": email, "password": PASSWORD, "csrf_token": token}
        answer = client.post(
            "/sign-in/local", data=fields, headers={"Cookie": f"{guard.VISIT_COOKIE}={cookies[guard.VISIT_COOKIE]}"}
        )

    assert 303 == answer.status_code
    assert "Secure" in answer.headers["Set-Cookie"]
    with gateway.services(), transaction(PLATFORM_ID) as session:
        assert "203.0.113.7" in session.scalars(text("select ip from console_session")).all()
