"""The overview: what this month costs, on what, what changed and what fails; before the first call, the way to it."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from flask import Blueprint, Response, url_for

from app.billing import first_steps, month, usage
from app.billing.first_steps import FirstSteps
from app.billing.month import Month
from app.console import origin, render, snippets
from app.console.guard import here, requires
from app.units import utc_now

TEMPLATE = "console/overview.html"
ANY_MODEL = "MODEL"
TITLES = {"model": "Models", "application": "Applications", "key": "API keys"}

blueprint = Blueprint("overview", __name__, url_prefix="/w/<uuid:workspace_id>")

Delta = tuple[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step to the first call. `href` leads to where it is done; None for those who may not."""

    title: str
    text: str
    done: bool
    href: str | None


@blueprint.get("/")
@requires("workspace.read")
def show(workspace_id: UUID) -> Response:
    """Show the page; its figures renew themselves, and the checklist gives way to them after the first call."""
    found = month.so_far(workspace_id, utc_now())
    if found is None:
        state = first_steps.of(workspace_id)
        given = snippets.of(origin.absolute(""), state.alias or ANY_MODEL)
        return render.page(TEMPLATE, block="figures", month=None, steps=steps(workspace_id, state), snippets=given)
    as_of = usage.waiting_since(workspace_id)
    return render.page(TEMPLATE, block="figures", month=found, deltas=deltas(found), titles=TITLES, as_of=as_of)


def steps(workspace_id: UUID, state: FirstSteps) -> list[Step]:
    """List the steps in their order, each with what is there now."""
    needed = (
        ("provider", "Add a provider", "An account at a company that runs models."),
        ("model", "Add a model", "The name that applications ask for, and what serves it."),
        ("application", "Create an application", "The program that will call. Its cost is shown separately."),
        ("key", "Create an API key", "Its secret is shown once. Put it into GATEWAY_KEY."),
    )
    made = [
        Step(title=title, text=text, done=getattr(state, noun), href=_href(workspace_id, noun))
        for noun, title, text in needed
    ]
    return [*made, Step(title="Send the first call", text="Copy one of the examples.", done=False, href="#first-call")]


def _href(workspace_id: UUID, noun: str) -> str | None:
    page = f"{noun}s"
    return url_for(f"{page}.new", workspace_id=workspace_id) if here().may(f"{page}.manage") else None


def deltas(found: Month) -> dict[str, Delta]:
    """Say what changed against the same span of the month before; None where there is nothing to compare with."""
    now, before = found.comparable, found.before
    changes = {
        "cost": month.change_percent(now.cost, before.cost),
        "requests": month.change_percent(now.requests, before.requests),
        "tokens": month.change_percent(now.all_tokens, before.all_tokens),
    }
    said: dict[str, Delta] = {
        name: (_signed(change, "%"), "neutral") for name, change in changes.items() if change is not None
    }
    points = _points(now.failed_percent, before.failed_percent)
    if points is not None:
        said["failed"] = (_signed(points, " points"), "error" if points > 0 else "success" if points < 0 else "neutral")
    return said


def _points(now: Decimal | None, before: Decimal | None) -> Decimal | None:
    return None if now is None or not before else now - before


def _signed(change: Decimal, unit: str) -> str:
    """Write a change with its sign: to a tenth below ten, else to a whole number."""
    digits = 0 if abs(change) >= 10 else 1
    sign = "+" if change > 0 else "\N{MINUS SIGN}" if change < 0 else "±"
    return f"{sign}{abs(change):,.{digits}f}{unit}"
