"""Requiring single sign-on: a block on the page of identity providers, and the two ways to change it."""

from typing import Any

from flask import Blueprint, Flask, Response, abort, url_for

from app.auth import break_glass, policy
from app.console import render
from app.console.guard import here, requires
from app.units import utc_now
from app.workspace.names import Invalid

blueprint = Blueprint("require_sso", __name__, url_prefix="/platform/sign-in/require-sso")


def init_app(app: Flask) -> None:
    """Let the page of identity providers show the block `console/require_sso.html`."""
    app.jinja_env.globals["sign_in_policy"] = about


def about() -> dict[str, Any]:
    """Everything the block shows."""
    tested = policy.test_of(here().person.user_id, now=utc_now())
    return {"policy": policy.current(), "tested": tested, "admins": break_glass.admins()}


@blueprint.post("")
@requires("platform.manage")
def require() -> Response:
    """Let nobody sign in with a password any more but a break-glass admin."""
    try:
        ended = policy.require_sso(here().person.user_id, now=utc_now())
    except Invalid as refused:
        abort(409, f"Single sign-on is not required yet: the {refused.field} {refused.problem}.")
    said = f" {ended} sessions that began with a password have ended." if ended else ""
    return render.leave(_address(), toast=f"Single sign-on is required.{said}")


@blueprint.post("/lift")
@requires("platform.manage")
def lift() -> Response:
    """Let everybody sign in with a password again."""
    policy.allow_passwords(now=utc_now())
    return render.leave(_address(), toast="Passwords work again.")


def _address() -> str:
    return url_for("identity_providers.index")
