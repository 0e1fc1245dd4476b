"""Everything that is refused when somebody comes back from an identity provider, each with a page that says why."""

from typing import Any

import pytest

from app.auth import flows, identity_providers
from app.auth.flows import LIFE, Flow
from app.units import utc_now
from tests.e2e.corp import (
    OTHER_TENANT,
    Corp,
    OpenCorp,
    SignIn,
    at_the_provider,
    failing_claim,
    session_cookie,
)
from tests.factories import unique
from tests.oidc.program import TENANT

pytestmark = pytest.mark.oidc


def test_groups_that_graph_does_not_tell_are_no_reason_to_come_in_without(corp: Corp, sign_in: SignIn) -> None:
    elsewhere = {"roles": ["Gateway.Developer"], "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}}
    login = corp.idp.knows(unique("jane"), _graphStatus=403, **elsewhere)

    tab = sign_in(login, status=403)

    assert "groups" == failing_claim(tab)
    assert "403 Authorization_RequestDenied" in tab.read()
    assert corp.role_of(f"{login}@corp.test") is None


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "signed by another key": ("signature", {"_sign": "another key"}),
    "signed by an unknown key": ("kid", {"_sign": "unknown key"}),
    "not signed": ("alg", {"_sign": "none"}),
    "signed by the client secret": ("alg", {"_sign": "HS256"}),
    "of another issuer": ("iss", {"_put": {"iss": f"https://login.test/{TENANT}/v2.0"}}),
    "for another application": ("aud", {"_put": {"aud": "another-application"}}),
    "of another sign-in": ("nonce", {"_put": {"nonce": "another"}}),
    "of another tenant": ("tid", {"_put": {"tid": OTHER_TENANT}}),
    "expired": ("exp", {"_put": {"exp": 1_700_000_000}}),
    "not valid yet": ("nbf", {"_put": {"nbf": 4_000_000_000}}),
    "about nobody": ("oid", {"_put": {"oid": None}}),
    "about a guest": ("acct", {"acct": 1}),
    "about somebody of another home": ("idp", {"idp": f"https://sts.windows.net/{OTHER_TENANT}/"}),
    "about somebody without a role": ("roles", {"roles": ["Another.Role"]}),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_token_that_is_wrong_is_refused_by_the_claim(corp: Corp, sign_in: SignIn, what: str) -> None:
    claim, claims = WRONG[what]
    login = corp.idp.knows(unique("jane"), **{"roles": ["Gateway.Developer"]} | claims)

    tab = sign_in(login, status=403)

    assert ("Sign-in refused", claim) == (tab.heading(), failing_claim(tab))
    assert not session_cookie(tab)
    assert [] == tab.breaches()
    assert corp.role_of(f"{login}@corp.test") is None
    request_id = tab.page.locator("dl.facts code").last.inner_text()
    (entry,) = [one for one in corp.audited("session.create") if one["request_id"] == request_id]
    assert "refused" == entry["outcome"]
    assert entry["reason"].startswith(f"{claim} ")


def test_who_cancels_at_the_provider_is_told_so(corp: Corp, open_corp: OpenCorp) -> None:
    tab = open_corp()
    tab.go(f"/sign-in/with/{corp.provider_id}?next=/workspaces")

    at_the_provider(tab, "", button="Cancel", status=403)

    assert "error" == failing_claim(tab)
    assert "access_denied" in tab.read()
    assert f"/sign-in/with/{corp.provider_id}?next=/workspaces" in str(
        tab.page.get_by_role("link", name="Try again").get_attribute("href")
    )


def test_a_provider_that_is_away_sends_back_to_the_sign_in_page(corp: Corp, open_corp: OpenCorp) -> None:
    away = corp.registered(name="Faraway", authority="https://localhost:1")
    tab = open_corp()

    tab.go(f"/sign-in/with/{away}")

    assert "Sign in" == tab.heading()
    assert "Faraway cannot be reached" in tab.page.locator("#toasts").inner_text()


def test_a_disabled_provider_takes_nobody_in(corp: Corp, open_corp: OpenCorp) -> None:
    closing = corp.registered()
    login = corp.idp.knows(unique("jane"), roles=["Gateway.Developer"])
    tab = open_corp()
    tab.go(f"/sign-in/with/{closing}")

    with corp.gateway.services():
        identity_providers.disable(closing, now=utc_now())
    at_the_provider(tab, login, status=403)

    assert "provider" == failing_claim(tab)
    with tab.expecting(404):
        tab.go(f"/sign-in/with/{closing}")


def test_a_flow_is_over_after_ten_minutes(corp: Corp, open_corp: OpenCorp) -> None:
    with corp.gateway.services():
        old = Flow(
            provider_id=corp.provider_id,
            purpose="sign-in",
            onward="/",
            user_id=None,
            msal={"state": "s"},
        )
        cookie = flows.seal(old, now=utc_now() - LIFE)
    tab = open_corp()
    tab.cookie("gateway_flow", cookie)

    with tab.expecting(400):
        tab.go("/sign-in/callback?state=s&code=c")

    assert "Begin again" == tab.heading()
