"""A workspace with one of everything, as the routes name it, all of it carrying a word that no other workspace has."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from werkzeug.routing import Rule

from app.application import applications, keys
from app.auth import scim_tokens, sessions
from app.logging import entries
from app.model import models, price_book
from app.provider import providers
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import invitations, workspaces
from app.workspace.members import By
from tests import directory, people
from tests.factories import unique


@dataclass(frozen=True)
class Tenant:
    """`ids` has a value for each variable of an address."""

    word: str
    ids: dict[str, Any]

    @property
    def workspace_id(self) -> UUID:
        return self.ids["workspace_id"]

    def with_things_of(self, other: "Tenant") -> "Tenant":
        """This workspace's address with what belongs to another."""
        return Tenant(self.word, other.ids | {"workspace_id": self.workspace_id})


def make(workspace_id: UUID | None = None) -> Tenant:
    """Make the workspace, unless it is given, and one of everything in it."""
    word = unique("secretword")
    workspace_id = workspace_id or workspaces.create(f"{word} workspace")
    application_id = applications.create(workspace_id, f"{word} application", cost_centre=f"{word} centre")
    key = keys.create(workspace_id, application_id, f"{word} key", models=["*"])
    provider_id = providers.save(
        workspace_id,
        f"{word} provider",
        kind="openai",
        base_url="http://127.0.0.1:1/v1",
        api_key=f"sk-{word}-0123456789",
    )
    deployment = models.Deployment(provider_id=provider_id, upstream_model=f"{word} upstream")
    model_id = models.save(workspace_id, f"{word} model", [deployment])
    price_book.set_prices(workspace_id, model_id, {"input": Decimal(1), "output": Decimal(2)}, now=utc_now())
    member = people.member(workspace_id, "viewer", name=f"{word} member")
    ids = {"workspace_id": workspace_id, "application_id": application_id, "key_id": key.key_id}
    ids |= {"provider_id": provider_id, "model_id": model_id, "user_id": member.user_id}
    ids |= _invited(workspace_id, word, By(user_id=member.user_id, role="owner"))
    ids |= _mapped(workspace_id, word) | {"session_id": sessions.of(member.user_id, now=utc_now())[0].session_id}
    (newest,) = entries.listed(workspace_id, entries.Wanted(), after=None, limit=1)
    return Tenant(word, ids | {"audit_id": newest.audit_id})


def _invited(workspace_id: UUID, word: str, by: By) -> dict[str, Any]:
    """Invite somebody: the invitation's id, and what its link ends in."""
    email = f"{word}@example.test"
    token = invitations.create(workspace_id, email, "viewer", by=by, now=utc_now())
    (mine,) = (invitation for invitation in invitations.open_of(workspace_id) if invitation.email == email)
    return {"invitation_id": mine.invitation_id, "token": token, "what": "well"}


def _mapped(workspace_id: UUID, word: str) -> dict[str, Any]:
    """Register a directory; map a group of it to a role here, and one to a role of the platform."""
    entra = directory.provider()
    here = directory.mapping(workspace_id, entra, f"{word} group", "viewer", kind="group")
    above = directory.mapping(PLATFORM_ID, entra, f"{word} group", "auditor", kind="group")
    token = scim_tokens.create(entra, by=people.person().user_id)
    return {
        "scim_token_id": token.token_id,
        "identity_provider_id": entra,
        "mapping_id": here,
        "platform_mapping_id": above,
    }


def nobodys(tenant: Tenant) -> Tenant:
    """Addresses of the same shape that lead to nothing."""
    return Tenant("", {name: uuid4() for name in tenant.ids})


def console_rules(app: Flask) -> list[tuple[str, Rule]]:
    """Every method and route of the console's pages."""
    rules = [rule for rule in app.url_map.iter_rules() if _is_console(app, rule.endpoint)]
    found = [(method, rule) for rule in rules for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    return sorted(found, key=lambda one: (one[1].rule, one[0]))


def address(app: Flask, rule: Rule, tenant: Tenant) -> str:
    """Fill a route's variables; a variable that a tenant has no value for fails here, by name."""
    values = {name: tenant.ids[name] for name in rule.arguments}
    return app.url_map.bind("localhost").build(rule.endpoint, values, method=next(iter(rule.methods or {"GET"})))


def a_form() -> dict[str, object]:
    """What every creating form carries."""
    return {"new_id": new_id()}


def _is_console(app: Flask, endpoint: str) -> bool:
    """Tell a page from the files that pages are made of."""
    return "." in endpoint and app.view_functions[endpoint].__module__.startswith("app.console.")
