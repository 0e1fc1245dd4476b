"""The pages by name: where they are, and a heading by which one knows them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A page below the workspace's address, or at `path` when that begins with a slash."""

    path: str
    heading: str
    who: str = "owner"


PLACES = {
    "sign-in": Place("/sign-in", "Sign in", who="nobody"),
    "workspaces": Place("/workspaces", "Workspaces", who="platform admin"),
    "overview": Place("", "Overview"),
    "usage": Place("usage", "Usage"),
    "audit": Place("audit", "Audit"),
    "applications": Place("applications", "Applications"),
    "new application": Place("applications/new", "New application"),
    "keys": Place("keys", "API keys"),
    "new key": Place("keys/new", "New key"),
    "members": Place("members", "Members"),
    "models": Place("models", "Models"),
    "new model": Place("models/new", "New model"),
    "providers": Place("providers", "Providers"),
    "new provider": Place("providers/new", "New provider"),
    "settings": Place("settings", "Settings"),
    "platform": Place("/platform", "Platform", who="platform admin"),
}
