"""What stands in the sidebar: the way to other workspaces, and the pages of this one that the person's role may open."""

from dataclasses import dataclass

from flask import Blueprint, Flask, Response, request

from app.console import render
from app.console.guard import Here, here, requires
from app.units import PLATFORM_ID
from app.workspace import members

MOST_SHOWN = 12
"""How many workspaces the switcher lists; the page of workspaces has them all."""

PLATFORM = "/platform"
"""Pages below it have entries of their own."""

blueprint = Blueprint("navigation", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A page as the sidebar names it. `path` is what follows the workspace's address."""

    text: str
    path: str
    icon: str
    permission: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An entry for one person on one page."""

    text: str
    href: str
    icon: str
    current: bool


OF_A_WORKSPACE: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "Watch",
        (
            Entry(text="Overview", path="", icon="layout-dashboard", permission="workspace.read"),
            Entry(text="Usage", path="usage", icon="chart-column", permission="usage.read"),
            Entry(text="Audit", path="audit", icon="scroll-text", permission="audit.read"),
        ),
    ),
    (
        "Spend",
        (
            Entry(text="Budgets", path="budgets", icon="wallet", permission="budgets.read"),
            Entry(text="Alerts", path="channels", icon="bell", permission="channels.read"),
            Entry(text="Billing", path="periods", icon="receipt", permission="periods.read"),
            Entry(text="Recompute", path="recompute", icon="calculator", permission="rating.read"),
            Entry(text="Exports", path="exports", icon="download", permission="exports.read"),
        ),
    ),
    (
        "Access",
        (
            Entry(text="Applications", path="applications", icon="boxes", permission="applications.read"),
            Entry(text="API keys", path="keys", icon="key-round", permission="keys.read"),
            Entry(text="Members", path="members", icon="users", permission="members.read"),
            Entry(text="Mappings", path="mappings", icon="compass", permission="mappings.read"),
        ),
    ),
    (
        "Models",
        (
            Entry(text="Models", path="models", icon="route", permission="models.read"),
            Entry(text="Prices", path="prices", icon="tags", permission="prices.read"),
            Entry(text="Providers", path="providers", icon="plug", permission="providers.read"),
        ),
    ),
    (
        "Manage",
        (Entry(text="Settings", path="settings", icon="settings", permission="workspace.read"),),
    ),
)
OF_THE_PLATFORM = (
    Entry(text="Workspaces", path="/workspaces", icon="layers", permission="console.enter"),
    Entry(text="Platform", path=PLATFORM, icon="server", permission="platform.read"),
    Entry(text="People", path="/platform/people", icon="users", permission="platform.read"),
    Entry(text="Sign-in", path="/platform/sign-in", icon="lock", permission="platform.read"),
    Entry(text="Platform mappings", path="/platform/mappings", icon="compass", permission="platform.read"),
    Entry(text="Platform audit", path=f"/w/{PLATFORM_ID}/audit", icon="scroll-text", permission="platform.read"),
)


def init_app(app: Flask) -> None:
    """Let the base template ask for it."""
    app.jinja_env.globals["navigation"] = navigation


@blueprint.get("/workspaces/switch")
@requires("console.enter")
def switch() -> Response:
    """List the workspaces that the person may go to from here."""
    places = [one for one in members.places_of(here().person.user_id) if not one.workspace.archived_at]
    return render.page("console/switch.html", block="places", places=places[:MOST_SHOWN], more=len(places) > MOST_SHOWN)


def navigation(now: Here) -> list[tuple[str, list[Link]]]:
    """List the groups that hold anything for this person, each with its links."""
    groups = [(name, _links(entries, now)) for name, entries in OF_A_WORKSPACE] if now.workspace else []
    groups.append(("Gateway", [_link(entry, entry.path) for entry in OF_THE_PLATFORM if now.may(entry.permission)]))
    return [(name, links) for name, links in groups if links]


def _links(entries: tuple[Entry, ...], now: Here) -> list[Link]:
    address = f"/w/{now.workspace.workspace_id}/" if now.workspace else "/"
    return [_link(entry, address + entry.path) for entry in entries if now.may(entry.permission)]


def _link(entry: Entry, href: str) -> Link:
    exact = href.endswith("/") or href == PLATFORM
    current = request.path == href if exact else f"{request.path}/".startswith(f"{href}/")
    return Link(text=entry.text, href=href, icon=entry.icon, current=current)
