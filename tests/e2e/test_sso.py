"""Signing in at an identity provider by a real browser: there and back, with the roles that follow, and out again."""

import time
from urllib.parse import parse_qs, urlsplit

import pytest

from app.units import utc_now
from app.workspace import invitations, workspaces
from app.workspace.members import By
from tests import directory, people
from tests.e2e.corp import (
    OTHER_TENANT,
    Corp,
    OpenCorp,
    SignIn,
    at_the_provider,
    failing_claim,
    session_cookie,
    way_back,
)
from tests.factories import unique
from tests.oidc.program import CLIENT_ID, CLIENT_SECRET, TENANT

pytestmark = pytest.mark.oidc


def test_somebody_new_signs_in_and_has_the_role_of_his_app_role(corp: Corp, open_corp: OpenCorp) -> None:
    login = corp.idp.knows(unique("jane"), name="Jane Doe", roles=["Gateway.Developer"])
    tab = open_corp()

    tab.go(f"/w/{corp.workspace_id}/keys")
    tab.follow("Sign in with Corp")
    at_the_provider(tab, login)

    assert ("API keys", f"/w/{corp.workspace_id}/keys") == (tab.heading(), tab.path)
    assert "Jane Doe" in tab.page.locator("header.topbar").inner_text()
    assert "developer" == corp.role_of(f"{login}@corp.test")
    (entry,) = [one for one in corp.audited("session.create") if one["object_name"] == f"{login}@corp.test"]
    assert ("done", f"{login}@corp.test") == (entry["outcome"], entry["actor_name"])


def test_the_sign_in_needs_no_script(corp: Corp, sign_in: SignIn) -> None:
    login = corp.idp.knows(unique("jane"), roles=["Gateway.Developer"])

    tab = sign_in(login, java_script_enabled=False, onward=f"/w/{corp.workspace_id}/keys")

    assert "API keys" == tab.heading()


def test_the_way_out_carries_a_challenge_and_no_secret(corp: Corp, open_corp: OpenCorp) -> None:
    tab = open_corp()
    with tab.page.expect_request(lambda request: request.url.startswith(corp.idp.url)) as asked:
        tab.go(f"/sign-in/with/{corp.provider_id}")

    query = {name: values[0] for name, values in parse_qs(urlsplit(asked.value.url).query).items()}
    assert ("S256", "code") == (query["code_challenge_method"], query["response_type"])
    assert f"{corp.gateway.url}/sign-in/callback" == query["redirect_uri"]
    assert {"openid", "profile", "email", "offline_access"} == set(query["scope"].split())
    cookie = next(one for one in tab.context.cookies() if one["name"] == "gateway_flow")
    assert (True, "Lax", "/sign-in") == (cookie["httpOnly"], cookie["sameSite"], cookie["path"])
    assert not [name for name in ("state", "nonce") if query[name] in cookie["value"]]
    assert CLIENT_SECRET not in asked.value.url
    assert 0 < cookie["expires"] - time.time() <= 600


def test_the_provider_takes_no_sign_in_without_a_challenge(corp: Corp) -> None:
    asked = {"client_id": CLIENT_ID, "response_type": "code", "scope": "openid", "state": "s"}
    asked |= {"redirect_uri": f"{corp.gateway.url}/sign-in/callback"}

    answer = corp.idp.client.get(f"/{TENANT}/v2.0/oauth2/v2.0/authorize", params=asked)

    said = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert ["invalid_request"] == said["error"]
    assert "PKCE" in said["error_description"][0]


def test_a_code_opens_nothing_in_another_browser(corp: Corp, open_corp: OpenCorp) -> None:
    login = corp.idp.knows(unique("jane"), roles=["Gateway.Developer"])
    stolen, thief = way_back(corp, login), open_corp()

    with thief.expecting(400):
        thief.go(stolen)
    without = thief.heading()
    thief.go(f"/sign-in/with/{corp.provider_id}")
    with thief.expecting(403):
        thief.go(stolen)

    assert "Begin again" == without
    assert "state" == failing_claim(thief)


def test_a_code_without_its_verifier_is_worth_nothing(corp: Corp) -> None:
    login = corp.idp.knows(unique("jane"), roles=["Gateway.Developer"])
    code = parse_qs(urlsplit(way_back(corp, login)).query)["code"][0]

    fields = {"grant_type": "authorization_code", "code": code, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    fields |= {"redirect_uri": f"{corp.gateway.url}/sign-in/callback", "code_verifier": "v" * 43}
    answer = corp.idp.client.post(f"/{TENANT}/v2.0/oauth2/v2.0/token", data=fields)

    assert (400, "invalid_grant") == (answer.status_code, answer.json()["error"])


def test_bc_094_a_sign_in_gets_a_new_session_and_the_old_one_ends(corp: Corp, sign_in: SignIn) -> None:
    login = corp.idp.knows(unique("jane"), roles=["Gateway.Developer"])
    first = sign_in(login)
    before = session_cookie(first)
    first.page.locator("summary", has_text=login.title()).click()
    first.page.get_by_role("button", name="Sign out").click()
    first.page.wait_for_url(f"{corp.idp.url}/**")
    after = session_cookie(first)

    replayed = corp.gateway.client.get("/workspaces", headers={"Cookie": f"gateway_session={before}"})

    assert before
    assert not after
    assert (303, "/sign-in?next=%2Fworkspaces") == (replayed.status_code, replayed.headers["Location"])


def test_signing_out_leads_through_the_providers_sign_out_and_back(corp: Corp, sign_in: SignIn) -> None:
    login = corp.idp.knows(unique("jane"), roles=["Gateway.Developer"])
    tab = sign_in(login)
    tab.page.locator("summary", has_text=login.title()).click()

    tab.page.get_by_role("button", name="Sign out").click()
    tab.page.wait_for_url(f"{corp.idp.url}/**")
    tab.page.get_by_role("button", name="Sign out").click()
    tab.page.wait_for_url(f"{corp.gateway.url}/sign-in")
    tab.go(f"/sign-in/with/{corp.provider_id}")

    assert "Test provider" == tab.heading()
    assert tab.page.get_by_label("Login").count() == 1


def test_the_provider_ends_sessions_from_its_side(corp: Corp, sign_in: SignIn) -> None:
    login = corp.idp.knows(unique("jane"), roles=["Gateway.Developer"], sid=unique("sid"))
    tab, issuer = sign_in(login), f"{corp.idp.url}/{TENANT}/v2.0"
    sid = corp.idp.people[login]["sid"]

    def front_channel(**query: str) -> None:
        assert 200 == corp.gateway.client.get("/sign-out/front-channel", params=query).status_code

    front_channel(iss=issuer, sid="another")
    front_channel(iss=f"{corp.idp.url}/{OTHER_TENANT}/v2.0", sid=sid)
    front_channel(iss=issuer)
    tab.go("/workspaces")
    still = tab.heading()
    front_channel(iss=issuer, sid=sid)
    tab.go("/workspaces")

    assert ("Workspaces", "Sign in") == (still, tab.heading())


def test_groups_beyond_the_token_are_asked_of_graph(corp: Corp, sign_in: SignIn) -> None:
    elsewhere = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.test"}}}
    login = corp.idp.knows(unique("jane"), _graph=["g1", "g2", "g3", "g4", "g5"], **elsewhere)

    tab = sign_in(login, onward=f"/w/{corp.workspace_id}/keys")

    assert "API keys" == tab.heading()
    assert "admin" == corp.role_of(f"{login}@corp.test")


def test_guests_come_where_they_may(corp: Corp, sign_in: SignIn) -> None:
    open_to_guests = corp.registered(guests=True, accounts="mapped")
    with corp.gateway.services():
        directory.mapping(corp.workspace_id, open_to_guests, "Gateway.Developer", "viewer")
    login = corp.idp.knows(unique("guest"), acct=1, roles=["Gateway.Developer"])

    tab = sign_in(login, provider_id=open_to_guests, onward="/workspaces")

    assert "Workspaces" == tab.heading()


def test_an_address_that_is_taken_opens_no_account_and_can_be_linked(
    corp: Corp, sign_in: SignIn, open_corp: OpenCorp
) -> None:
    with corp.gateway.services():
        owner = people.member(corp.workspace_id, "owner")
    login = corp.idp.knows(unique("jane"), email=owner.email.upper(), roles=["Gateway.Developer"])
    refused = sign_in(login, status=403)
    heading = refused.heading()
    tab = open_corp(owner)

    tab.go(f"/account/identities/link/{corp.provider_id}")
    at_the_provider(tab, login)
    again = sign_in(login, onward=f"/w/{corp.workspace_id}/settings")

    assert "Sign-in refused" == heading
    assert owner.email in refused.read()
    assert "Settings" == again.heading()
    assert "owner" == corp.role_of(owner.email)


def test_an_identity_is_linked_to_who_began_it_and_nobody_else(corp: Corp, open_corp: OpenCorp) -> None:
    with corp.gateway.services():
        one, other = people.person(), people.person()
    login = corp.idp.knows(unique("jane"))
    tab = open_corp(one)
    tab.go(f"/account/identities/link/{corp.provider_id}")

    tab.cookie("gateway_session", other.cookie)
    at_the_provider(tab, login, status=403)

    assert "session" == failing_claim(tab)
    assert [] == corp.gateway.sql("select 1 from identity where subject = %s", login)


def test_who_is_invited_signs_in_to_accept(corp: Corp, sign_in: SignIn) -> None:
    closed = corp.registered(accounts="off")
    login = corp.idp.knows(unique("jane"), email="Jane.Invited@Corp.test")
    with corp.gateway.services():
        by = By(user_id=people.member(corp.workspace_id, "owner").user_id, role="owner")
        token = invitations.create(corp.workspace_id, "jane.invited@corp.test", "billing", by=by, now=utc_now())

    tab = sign_in(login, provider_id=closed, onward=f"/join/{corp.workspace_id}/{token}")
    tab.press("Join workspace")

    assert "billing" == corp.role_of("jane.invited@corp.test")


def test_any_issuer_will_do_even_one_without_a_path(corp: Corp, sign_in: SignIn) -> None:
    with corp.gateway.services():
        home = workspaces.create(unique("home"))
    plain = corp.registered(
        kind="oidc", tenant=None, accounts="default", default_workspace_id=home, default_role="viewer"
    )
    login = corp.idp.knows(unique("jane"))

    tab = sign_in(login, provider_id=plain, onward=f"/w/{home}/settings")

    assert "Settings" == tab.heading()
    rows = corp.gateway.sql("select tenant, subject from identity where email = %s", f"{login}@corp.test")
    assert [{"tenant": corp.idp.url, "subject": login}] == rows
