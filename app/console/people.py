"""Everybody with an account, for the platform's admin and auditor: how they sign in, where they are, whether they may."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, url_for

from app.auth import accounts, identity_providers, sessions
from app.console import browsers, forms, guard, render
from app.console.guard import here, requires
from app.units import utc_now
from app.workspace import members
from app.workspace.names import Invalid

TEMPLATE = "console/people.html"

blueprint = Blueprint("people", __name__, url_prefix="/platform/people")


@blueprint.get("")
@requires("platform.read")
def index() -> Response:
    """List the accounts, those whose name or e-mail holds a text."""
    search, after, now = forms.asked("q"), forms.asked("after"), utc_now()
    found = accounts.page(search=search, after=after or None, now=now)
    about: dict[str, Any] = {
        "found": found,
        "search": search,
        "after": after,
        "now": now,
        "list_url": url_for("people.index"),
    }
    return render.page(TEMPLATE, block="rows", view="list", **about)


@blueprint.get("/<uuid:user_id>")
@requires("platform.read")
def show(user_id: UUID) -> Response:
    """Show one account: its ways in, its workspaces and its sessions."""
    return render.page(TEMPLATE, view="show", problem=None, **_about(user_id))


@blueprint.post("/<uuid:user_id>/disable")
@requires("platform.manage")
def disable(user_id: UUID) -> Response:
    """Close an account, end its sessions and suspend its keys."""
    try:
        accounts.disable(user_id, by=here().person.user_id)
    except Invalid as refused:
        problem = f"Nothing was changed: the {refused.field} {refused.problem}."
        return render.page(TEMPLATE, view="show", status=422, problem=problem, **_about(user_id))
    return _done(user_id, "The account is disabled. Its sessions have ended, and its keys are suspended.")


@blueprint.post("/<uuid:user_id>/enable")
@requires("platform.manage")
def enable(user_id: UUID) -> Response:
    """Open an account again."""
    accounts.enable(user_id)
    return _done(user_id, "The account is enabled, and its keys work again.")


@blueprint.post("/<uuid:user_id>/end-sessions")
@requires("platform.manage")
def end_sessions(user_id: UUID) -> Response:
    """Sign somebody out everywhere."""
    accounts.end_sessions(user_id)
    return _done(user_id, "Signed out everywhere.")


def _about(user_id: UUID) -> dict[str, Any]:
    now = utc_now()
    return {
        "account": accounts.get(user_id, now=now),
        "places": members.places_of(user_id),
        "sessions": sessions.of(user_id, now=now, token=guard.session_cookie()),
        "provider_names": {one.provider_id: one.name for one in identity_providers.of_all()},
        "browser_of": browsers.name_of,
        "mine": user_id == here().person.user_id,
        "now": now,
    }


def _done(user_id: UUID, toast: str) -> Response:
    return render.leave(url_for("people.show", user_id=user_id), toast=toast)
