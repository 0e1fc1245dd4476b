"""A workspace with one of everything, as the routes name it, all of it carrying a word that no other workspace has."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from werkzeug.routing import Rule

from app.application import applications, keys
from app.auth import scim_tokens, sessions
from app.billing import closing, credit_notes, export_orders, export_schedules, export_what, periods, rating_runs
from app.logging import entries
from app.model import models, price_book
from app.provider import providers
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import budget_rules, budgets, channels, deliveries, invitations, workspaces
from app.workspace.members import By
from tests import directory, people
from tests.factories import unique

MOST_SCHEDULES = 20


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
    ids |= _watched(workspace_id, word)
    ids |= _exported(workspace_id, word, member.user_id)
    ids |= _closed(workspace_id, word)
    ids |= _recomputed(workspace_id, word)
    (newest,) = entries.listed(workspace_id, entries.Wanted(), after=None, limit=1)
    return Tenant(word, ids | {"audit_id": newest.audit_id})


def _invited(workspace_id: UUID, word: str, by: By) -> dict[str, Any]:
    """Invite somebody: the invitation's id, and what its link ends in."""
    email = f"{word}@example.test"
    token = invitations.create(workspace_id, email, "viewer", by=by, now=utc_now())
    (mine,) = (invitation for invitation in invitations.open_of(workspace_id) if invitation.email == email)
    return {"invitation_id": mine.invitation_id, "token": token, "what": "well"}


def _closed(workspace_id: UUID, word: str) -> dict[str, Any]:
    """Close the newest month before 2026 that is open, with a credit: its statement's id."""
    month = date(2025, 12, 1)
    while periods.get(workspace_id, month).state != "open":
        month = periods.before(month)
    credit_notes.grant(workspace_id, month, Decimal(1), f"{word} credit", now=utc_now())
    closing.draft(workspace_id, month, now=utc_now())
    return {"statement_id": closing.close(workspace_id, month, now=utc_now()).statement_id}


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


def _recomputed(workspace_id: UUID, word: str) -> dict[str, Any]:
    """Order a dry run of a day that has no calls."""
    since = datetime(2026, 2, 1, tzinfo=UTC)
    return {
        "run_id": rating_runs.try_out(workspace_id, since, since + timedelta(days=1), f"{word} reason", run_id=new_id())
    }


def _exported(workspace_id: UUID, word: str, by: UUID) -> dict[str, Any]:
    """Order an export and schedule one, among few. `link` is the end of a link that opens nothing."""
    for old in export_schedules.of(workspace_id)[MOST_SCHEDULES:]:
        export_schedules.delete(workspace_id, old.schedule_id)
    day = date(2026, 1, 1)
    order, export_id, schedule_id = export_what.What(kind="calls", first=day, last=day), new_id(), new_id()
    export_orders.place(workspace_id, order, export_id=export_id, as_of=utc_now(), by=None)
    export_schedules.create(
        workspace_id, f"{word} schedule", order, "day", schedule_id=schedule_id, by=by, now=utc_now()
    )
    return {"export_id": export_id, "schedule_id": schedule_id, "link": word}


def _watched(workspace_id: UUID, word: str) -> dict[str, Any]:
    """Give the workspace a budget, and a channel with a delivery."""
    rule = budget_rules.Rule(name=f"{word} budget", limit_usd=Decimal(10))
    budget_id, channel_id = new_id(), new_id()
    budgets.create(workspace_id, rule, scope="workspace", scope_id=None, period="month", budget_id=budget_id, by=None)
    wish = channels.Wish(name=f"{word} channel", target=f"https://{word}.example.test/", events=("budget",))
    channels.create(workspace_id, "webhook", wish, channel_id=channel_id, by=None)
    channels.test(workspace_id, channel_id)
    (delivery,) = deliveries.page(workspace_id, channel_id=channel_id).items
    return {"budget_id": budget_id, "channel_id": channel_id, "delivery_id": delivery.delivery_id}


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
