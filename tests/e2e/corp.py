"""A company whose people sign in with its own directory: a provider that nobody here wrote, over TLS, and a gateway."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from app.auth import identity_providers
from app.auth.registrations import Registration
from app.workspace import workspaces
from tests import directory
from tests.e2e.visitor import Visitor
from tests.factories import unique
from tests.gateway_process import Gateway
from tests.oidc.program import CLIENT_ID, CLIENT_SECRET, TENANT, IdentityProvider
from tests.tls import Authority

OTHER_TENANT = "99999999-2222-3333-4444-555555555555"

OpenCorp = Callable[..., Visitor]
SignIn = Callable[..., Visitor]


@dataclass(frozen=True)
class Corp:
    """A company: its directory, the gateway that people sign in to with it, and a workspace with a mapping."""

    gateway: Gateway
    idp: IdentityProvider
    provider_id: UUID
    workspace_id: UUID

    def registered(self, **changes: Any) -> UUID:
        """Register the directory once more, in another way."""
        with self.gateway.services():
            return identity_providers.add(registration(self.idp, **changes), secret=CLIENT_SECRET)

    def role_of(self, email: str) -> str | None:
        """Which role somebody has in the workspace."""
        rows = self.gateway.sql(
            "select role from membership join user_account using (user_id) where workspace_id = %s and email = %s",
            self.workspace_id,
            email,
        )
        return rows[0]["role"] if rows else None

    def audited(self, action: str) -> list[dict[str, Any]]:
        """The entries of the trail about an action, those included that the worker has not numbered yet."""
        columns = "action, outcome, reason, object_name, actor_name, request_id"
        return self.gateway.sql(
            f"select {columns} from audit_outbox where action = %s"
            f" union select {columns} from audit_event where action = %s",
            action,
            action,
        )


def found_corp(gateway: Gateway, authority: Authority, folder: Path) -> Corp:
    """Start the directory, register it with the gateway, and map two of its claims to roles."""
    callback, signed_out = f"{gateway.url}/sign-in/callback", f"{gateway.url}/sign-in"
    idp = IdentityProvider(authority, folder, redirects=[callback], signed_out=[signed_out])
    with gateway.services():
        provider_id = identity_providers.add(registration(idp, name="Corp"), secret=CLIENT_SECRET)
        workspace_id = workspaces.create("Corp workspace")
        directory.mapping(workspace_id, provider_id, "Gateway.Developer", "developer")
        directory.mapping(workspace_id, provider_id, "g5", "admin", kind="group")
    return Corp(gateway, idp, provider_id, workspace_id)


def registration(idp: IdentityProvider, **changes: Any) -> Registration:
    """How the gateway is registered there."""
    about = {"name": unique("Corp"), "kind": "entra", "tenant": TENANT, "client_id": CLIENT_ID}
    return Registration(**about | {"authority": idp.url, "graph_url": idp.graph_url} | changes)


def at_the_provider(tab: Visitor, login: str, *, button: str = "Continue", status: int = 200) -> None:
    """Sign in on the provider's own page; what comes back is answered with a status."""
    assert "Test provider" == tab.heading()
    tab.page.get_by_label("Login").fill(login)
    if status == 200:
        tab.press(button)
        return
    with tab.expecting(status):
        tab.page.get_by_role("button", name=button).click()


def way_back(corp: Corp, login: str) -> str:
    """Sign somebody in at the provider and stop there: the path, with its code, that leads back to the gateway."""
    with httpx.Client(verify=corp.idp.verify, trust_env=False) as browser:
        to = browser.get(f"{corp.gateway.url}/sign-in/with/{corp.provider_id}").headers["Location"]
        page = browser.get(to, follow_redirects=True)
        answer = browser.post(page.url, data={"login": login, "go": "yes"})
        while not (to := answer.headers["Location"]).startswith(corp.gateway.url):
            answer = browser.get(to)
    return to.removeprefix(corp.gateway.url)


def failing_claim(tab: Visitor) -> str:
    """What the page names as wrong."""
    return tab.page.locator("dt", has_text="Failing claim").locator("xpath=following-sibling::dd[1]").inner_text()


def session_cookie(tab: Visitor) -> str:
    return next((str(one["value"]) for one in tab.context.cookies() if one["name"] == "gateway_session"), "")
