"""The page `/style`, in development only: every piece of the console in every state, to be looked at. Also the colours."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, abort, request
from werkzeug.exceptions import ServiceUnavailable

from app.auth.sessions import Person
from app.console import origin, render
from app.console.guard import Here, open_to_all
from app.extensions import settings
from app.units import PLATFORM_ID, utc_now
from app.workspace.workspaces import Workspace

TEMPLATE = "console/style.html"
THEMES = ("light", "dark", "auto")
YEAR_S = 365 * 86_400
SAMPLES = (
    ("billing-service", "active", "success", 1_284_331, Decimal("182.4417"), timedelta(minutes=4)),
    ("search/reranker", "busy", "warning", 48_120, Decimal("9.06"), timedelta(hours=3)),
    ("خدمة الترجمة", "expired", "error", 912, Decimal("0.0042"), timedelta(days=12)),
    (
        "A name that is so long that a table would like to break it in two 🚀 ünïcode " * 2,
        "archived",
        "neutral",
        0,
        None,
        None,
    ),
)

blueprint = Blueprint("style", __name__)


@blueprint.get("/style")
@open_to_all
def show() -> Response:
    """Show every piece."""
    _development_only()
    return render.page(TEMPLATE, block="content", **_pieces())


@blueprint.get("/style/slow")
@open_to_all
def place() -> Response:
    """Fill a waiting place."""
    _development_only()
    return render.page(TEMPLATE, block="filled")


@blueprint.post("/style/<what>")
@open_to_all
def act(what: str) -> Response:
    """Answer as a form may be answered: well, with a problem, or not at all."""
    _development_only()
    if what == "well":
        return render.done(TEMPLATE, block="filled", to="/style", toast="The key is revoked.")
    if what == "problem":
        typed: dict[str, Any] = {"typed": request.form.get("budget", ""), "problem": "must be a number"}
        return render.problem(TEMPLATE, block="sample_form", **typed, **_pieces())
    raise ServiceUnavailable


@blueprint.post("/theme")
@open_to_all
def choose_theme() -> Response:
    """Remember the colours that a person chose, for whom no script does it."""
    chosen = request.form.get("theme", "auto")
    response = render.leave(origin.own_path(request.form.get("back", "/")))
    if chosen in THEMES:
        response.set_cookie("theme", chosen, max_age=YEAR_S, samesite="Lax", secure=origin.is_https())
    return response


def _pieces() -> dict[str, Any]:
    now = utc_now()
    rows = [(*sample[:5], now - sample[5] if sample[5] else None) for sample in SAMPLES]
    return {"rows": rows, "now": now, "here": _somebody()}


def _somebody() -> Here:
    """Make up a person who may see everything, so that the frame is shown full."""
    person = Person(user_id=PLATFORM_ID, email="ada@example.test", name="Ada Lovelace", platform_role="admin")
    workspace = Workspace(
        workspace_id=PLATFORM_ID, name="Acme Research", timezone="Europe/Vienna", managed_by="console"
    )
    return Here(
        person=person, workspace=workspace, role="owner", roles=frozenset({"owner", "person", "platform_admin"})
    )


def _development_only() -> None:
    if settings().environment != "development":
        abort(404)
