"""Budgets of a workspace: what may be spent, how much of it is, and what happens when it is used up."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, url_for

from app.application import applications, keys
from app.billing import budget_sums, labels
from app.console import forms, render
from app.console.forms import Form
from app.console.guard import here, requires
from app.extensions import transaction
from app.model import models
from app.units import PLATFORM_ID, utc_now
from app.workspace import budget_rules, budgets
from app.workspace.budget_rules import WHOLE, Budget, Rule
from app.workspace.budget_states import Standing

TEMPLATE = "console/budgets.html"
MOST_OFFERED = 500
PERIODS = {"hour": "Hour", "day": "Day", "week": "Week from Monday", "month": "Calendar month", "total": "All time"}
ACTIONS = {
    "notify": "Send alerts only",
    "block": "Refuse calls",
    "downgrade": "Send calls to another model",
}

EVERYTHING = "The whole workspace"
THINGS = {"application": "Application", "model": "Model", "key": "API key"}

blueprint = Blueprint("budgets", __name__, url_prefix="/w/<uuid:workspace_id>/budgets")


@blueprint.get("")
@requires("budgets.read")
def index(workspace_id: UUID) -> Response:
    """List the budgets, each with what is spent of it."""
    known = budgets.all_of(workspace_id)
    found, abouts = _standings(workspace_id, known), _abouts(workspace_id, known)
    return render.page(TEMPLATE, block="rows", view="list", found=found, abouts=abouts, **WORDS, now=utc_now())


@blueprint.get("/new")
@requires("budgets.manage")
def new(workspace_id: UUID) -> Response:
    """Show the empty form; the address may say what the budget is about."""
    thresholds = ", ".join(map(str, budget_rules.THRESHOLDS))
    about = forms.asked("about") or WHOLE
    given = forms.empty(
        new_id=str(forms.fresh_id()), about=about, period="month", action="notify", thresholds=thresholds
    )
    return render.page(TEMPLATE, block="form", view="form", given=given, **_choices(workspace_id))


@blueprint.post("")
@requires("budgets.manage")
def create(workspace_id: UUID) -> Response:
    """Create a budget."""
    form = forms.sent()
    budget_id = forms.row_id(workspace_id, form)
    rule, place = _rule(workspace_id, form), _place(workspace_id, form)
    if rule and place and not form.problems:
        scope, scope_id = place
        with form.refusals():
            period, by = form.text("period"), here().person.user_id
            budgets.create(
                workspace_id, rule, scope=scope, scope_id=scope_id, period=period, budget_id=budget_id, by=by
            )
            return render.done(to=_address(workspace_id, budget_id), toast="The budget is watched from now on.")
    return render.problem(TEMPLATE, block="form", view="form", given=form, **_choices(workspace_id))


@blueprint.get("/<uuid:budget_id>")
@requires("budgets.read")
def show(workspace_id: UUID, budget_id: UUID) -> Response:
    """Show a budget: how it stands, what it told, and its form."""
    found = budgets.get(workspace_id, budget_id)
    return render.page(TEMPLATE, block="form", view="one", given=_filled(found), **_about(workspace_id, found))


@blueprint.post("/<uuid:budget_id>")
@requires("budgets.manage")
def edit(workspace_id: UUID, budget_id: UUID) -> Response:
    """Change a budget. What it is about and its period stay."""
    found = budgets.get(workspace_id, budget_id)
    form = forms.sent()
    rule = _rule(workspace_id, form)
    if rule and not form.problems:
        with form.refusals():
            budgets.edit(workspace_id, budget_id, rule)
            return render.done(to=_address(workspace_id, budget_id), toast="Saved. Calls follow it within seconds.")
    return render.problem(TEMPLATE, block="form", view="one", given=form, **_about(workspace_id, found))


@blueprint.post("/<uuid:budget_id>/archive")
@requires("budgets.manage")
def archive(workspace_id: UUID, budget_id: UUID) -> Response:
    """End a budget."""
    budgets.archive(workspace_id, budget_id, now=utc_now())
    return render.leave(url_for("budgets.index", workspace_id=workspace_id), toast="The budget was deleted.")


def _standings(workspace_id: UUID, found: list[Budget]) -> list[Standing]:
    with transaction(workspace_id) as session:
        return budget_sums.standings(session, workspace_id, found, utc_now(), _zone())


def _about(workspace_id: UUID, budget: Budget) -> dict[str, Any]:
    (one,) = _standings(workspace_id, [budget])
    aliases, alerts = models.names_of(workspace_id), budgets.alerts_of(workspace_id, budget.budget_id)
    about = {"one": one, "alerts": alerts, "aliases": sorted(aliases), "abouts": _abouts(workspace_id, [budget])}
    return about | WORDS | {"now": utc_now()}


def _state(one: Standing, now: datetime) -> tuple[str, str]:
    """Say in a word or two how a budget stands, and in which tone."""
    rule = one.budget.rule
    if one.budget.acts_at(now):
        return ("refuses calls", "error") if rule.action == "block" else (f"uses {rule.downgrade_to}", "warning")
    if one.spent > rule.limit_usd:
        return "over limit", "error"
    if one.spent and one.spent == rule.limit_usd:
        return "used up", "error"
    return ("alerted", "warning") if budget_rules.reached(rule, one.spent) else ("within limit", "success")


def _percent(one: Standing) -> str:
    """Write how much of the limit is spent, rounded down, since 100 means that it is used up; nothing of a limit of 0."""
    if one.percent is None:
        return ""
    return "under 1%" if 0 < one.percent < 1 else f"{int(one.percent):,}%"


WORDS: dict[str, Any] = {"periods": PERIODS, "actions": ACTIONS, "state_of": _state, "percent_of": _percent}
"""What the template calls periods, actions and how a budget stands."""


def _abouts(workspace_id: UUID, found: Collection[Budget]) -> dict[str, str]:
    """Name what budgets are about, by the words of the form; what is no longer there has no name."""
    asked = {scope: {one.scope_id for one in found if one.scope == scope and one.scope_id} for scope in THINGS}
    with transaction(workspace_id) as session:
        known = labels.of(session, workspace_id, asked, before=utc_now())
    named = [(scope, one) for scope, ids in asked.items() for one in ids if one in known[scope]]
    return {WHOLE: EVERYTHING} | dict(_pair(scope, one, known[scope][one].name) for scope, one in named)


def _choices(workspace_id: UUID) -> dict[str, Any]:
    """What a new budget can be about, and the models that it can send calls to."""
    owners = {workspace_id, PLATFORM_ID}
    served = sorted((one for owner in owners for one in models.all_of(owner)), key=lambda one: one.name)
    things = {
        "application": [(one.application_id, one.name) for one in applications.all_of(workspace_id)],
        "model": [(one.model_id, one.name) for one in served],
        "key": [(one.key_id, one.name) for one in keys.all_of(workspace_id) if one.state == "active"],
    }
    pairs = [_pair(scope, *one) for scope, found in things.items() for one in found[:MOST_OFFERED]]
    aliases = sorted({one.name for one in served})
    return {"offered": [(WHOLE, EVERYTHING), *pairs], "aliases": aliases, **WORDS}


def _pair(scope: str, one: UUID, name: str) -> tuple[str, str]:
    return f"{scope}:{one}", f"{THINGS[scope]} {name}"


def _rule(workspace_id: UUID, form: Form) -> Rule | None:
    limit = form.price("limit")
    if limit is None and "limit" not in form.problems:
        form.problems["limit"] = "must be dollars; 0 is used up by the first call that costs anything"
    action = form.text("action")
    downgrade_to = form.text("downgrade_to") if action == "downgrade" else ""
    if downgrade_to and downgrade_to not in models.names_of(workspace_id):
        form.problems["downgrade_to"] = "is no model of this workspace"
    thresholds = _thresholds(form)
    if limit is None or thresholds is None:
        return None
    rule = Rule(
        name=form.text("name"),
        limit_usd=limit,
        thresholds=thresholds,
        action=action,
        downgrade_to=downgrade_to or None,
    )
    with form.refusals():
        budget_rules.check(rule)
    return rule


def _thresholds(form: Form) -> tuple[int, ...] | None:
    words = form.text("thresholds").replace("%", " ").replace(",", " ").split()
    if not words or not all(word.isascii() and word.isdigit() and len(word) < 5 for word in words):
        form.problems["thresholds"] = "must be percentages such as 50, 80, 100"
        return None
    return tuple(sorted({int(word) for word in words}))


def _place(workspace_id: UUID, form: Form) -> tuple[str, UUID | None] | None:
    """Read what a new budget is about; only what this workspace has is found."""
    about = form.text("about")
    if about == WHOLE:
        return WHOLE, None
    if about not in dict(_choices(workspace_id)["offered"]):
        form.problems["about"] = "is nothing that this workspace has"
        return None
    scope, _, raw = about.partition(":")
    return scope, UUID(raw)


def _filled(budget: Budget) -> Form:
    rule = budget.rule
    return forms.empty(
        name=rule.name,
        limit=f"{rule.limit_usd.normalize():f}",
        thresholds=", ".join(map(str, rule.thresholds)),
        action=rule.action,
        downgrade_to=rule.downgrade_to or "",
    )


def _address(workspace_id: UUID, budget_id: UUID) -> str:
    return url_for("budgets.show", workspace_id=workspace_id, budget_id=budget_id)


def _zone() -> str:
    workspace = here().workspace
    return workspace.timezone if workspace else "UTC"
