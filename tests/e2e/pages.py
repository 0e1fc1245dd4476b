"""The pages by name: where they are, and how the heading begins by which one knows them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A page below the workspace's address, or at `path` when that begins with a slash.

    `{key_id}` and the like stand for what the stage has.
    """

    path: str
    heading: str
    who: str = "owner"


PLACES = {
    "sign-in": Place("/sign-in", "Sign in", who="nobody"),
    "local sign-in": Place("/sign-in/local", "Sign in", who="nobody"),
    "account": Place("/account", "Account", who="newcomer"),
    "two-factor sign-in": Place("/account/two-factor", "Two-factor sign-in", who="newcomer"),
    "people": Place("/platform/people", "People", who="platform admin"),
    "person": Place("/platform/people/{person_id}", "Some viewer", who="platform admin"),
    "invitation": Place("/join/{workspace_id}/{token}", "Join", who="nobody"),
    "workspaces": Place("/workspaces", "Workspaces", who="platform admin"),
    "new workspace": Place("/workspaces/new", "New workspace", who="platform admin"),
    "archive workspace": Place("archive", "Archive workspace"),
    "switch": Place("/workspaces/switch", "Switch workspace"),
    "overview": Place("", "Overview"),
    "first steps": Place("/w/{empty_id}/", "Overview", who="platform admin"),
    "usage": Place("usage", "Usage"),
    "usage by key and model": Place("usage?group=key&and=model&interval=day&compare=before", "Usage"),
    "no usage": Place("/w/{empty_id}/usage", "Usage", who="platform admin"),
    "billing": Place("periods", "Billing"),
    "month": Place("periods/month", ""),
    "statement": Place("statements/{statement_id}", "Statement"),
    "recompute": Place("recompute", "Recompute"),
    "no recompute": Place("/w/{empty_id}/recompute", "Recompute", who="platform admin"),
    "new dry run": Place("recompute/new", "New dry run"),
    "rating run": Place("recompute/{run_id}", "new prices"),
    "exports": Place("exports", "Exports"),
    "no exports": Place("/w/{empty_id}/exports", "Exports", who="platform admin"),
    "new export": Place("exports/new", "New export"),
    "export": Place("exports/{export_id}", "Calls export"),
    "audit": Place("audit", "Audit"),
    "audit entry": Place("audit/{audit_id}", ""),
    "applications": Place("applications", "Applications"),
    "no applications": Place("/w/{empty_id}/applications", "Applications", who="platform admin"),
    "new application": Place("applications/new", "New application"),
    "application": Place("applications/{application_id}", "application"),
    "archive application": Place("applications/{application_id}/archive", "Archive application"),
    "accept tokens": Place("applications/{application_id}/tokens/new", "New Entra ID token"),
    "token key": Place("keys/{token_key_id}", "nightly jobs"),
    "keys": Place("keys", "API keys"),
    "no keys": Place("/w/{empty_id}/keys", "API keys", who="platform admin"),
    "new key": Place("keys/new", "New key"),
    "key": Place("keys/{key_id}", "key"),
    "rotate key": Place("keys/{key_id}/rotate", "Rotate key"),
    "revoke key": Place("keys/{key_id}/revoke", "Revoke key"),
    "members": Place("members", "Members"),
    "invite": Place("members/invite", "Invite somebody"),
    "mappings": Place("mappings", "Mappings"),
    "no mappings": Place("/w/{empty_id}/mappings", "Mappings", who="platform admin"),
    "new mapping": Place("mappings/new", "New mapping"),
    "dry run": Place(
        "mappings/new/dry-run?provider={directory_id}&kind=group&value=guests&role=viewer", "What would change"
    ),
    "mapping": Place("mappings/{mapping_id}", "Edit mapping"),
    "remove mapping": Place("mappings/{mapping_id}/remove", "Remove mapping"),
    "identity providers": Place("/platform/sign-in", "Sign-in", who="platform admin"),
    "new identity provider": Place("/platform/sign-in/new", "New identity provider", who="platform admin"),
    "identity provider": Place("/platform/sign-in/{directory_id}", "Corp directory", who="platform admin"),
    "identity provider, read": Place("/platform/sign-in/{directory_id}", "Corp directory", who="platform auditor"),
    "platform mappings": Place("/platform/mappings", "Platform mappings", who="platform admin"),
    "models": Place("models", "Models"),
    "no models": Place("/w/{empty_id}/models", "Models", who="platform admin"),
    "new model": Place("models/new", "New model"),
    "model": Place("models/{model_id}", "m"),
    "remove model": Place("models/{model_id}/delete", "Remove m"),
    "prices": Place("prices", "Prices"),
    "prices of a model": Place("prices/{model_id}", "m"),
    "terms of a model": Place("prices/{model_id}", "m", who="platform admin"),
    "unpriced calls": Place("prices/unpriced", "Unpriced calls"),
    "explain a call": Place("prices/why", "Explain a call"),
    "bundled list": Place("prices/import", "Bundled list"),
    "adjustment": Place("prices/adjustments", "Adjustment", who="platform admin"),
    "providers": Place("providers", "Providers"),
    "no providers": Place("/w/{empty_id}/providers", "Providers", who="platform admin"),
    "new provider": Place("providers/new", "New provider"),
    "provider": Place("providers/{provider_id}", "provider"),
    "remove provider": Place("providers/{provider_id}/delete", "Remove provider"),
    "settings": Place("settings", "Settings"),
    "budgets": Place("budgets", "Budgets"),
    "no budgets": Place("/w/{empty_id}/budgets", "Budgets", who="platform admin"),
    "new budget": Place("budgets/new", "New budget"),
    "budget": Place("budgets/{budget_id}", "budget"),
    "alerts": Place("channels", "Alerts"),
    "no alerts": Place("/w/{empty_id}/channels", "Alerts", who="platform admin"),
    "new channel": Place("channels/new", "New channel"),
    "new webhook": Place("channels/new?kind=webhook", "New channel"),
    "channel": Place("channels/{channel_id}", "channel"),
    "delivery log": Place("deliveries", "Delivery log"),
    "no deliveries": Place("/w/{empty_id}/deliveries", "Delivery log", who="platform admin"),
    "platform": Place("/platform", "Platform", who="platform admin"),
}
LISTS = tuple(
    name
    for name in PLACES
    if name
    in {"overview", "usage", "audit", "applications", "keys", "members", "mappings", "models", "providers", "settings"}
)
"""The pages that the sidebar leads to."""
