"""Recompute: order a dry run over some days, see what it changes for each application, then apply it."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, url_for

from app.billing import labels, rating_runs, rollup_zones
from app.billing.rating_runs import Delta, Run
from app.console import forms, render
from app.console.forms import Form
from app.console.guard import here, requires
from app.extensions import transaction
from app.units import start_of_day, utc_now

TEMPLATE = "console/recompute.html"
EARLIEST, LATEST = date(2020, 1, 1), date(2100, 1, 1)
KINDS = {"dry_run": "dry run", "apply": "recompute", "check": "nightly check"}

blueprint = Blueprint("recompute", __name__, url_prefix="/w/<uuid:workspace_id>/recompute")


@blueprint.get("")
@requires("rating.read")
def index(workspace_id: UUID) -> Response:
    """List the runs, the newest first."""
    found = rating_runs.listed(workspace_id)
    return render.page(TEMPLATE, block="rows", view="list", found=found, kinds=KINDS)


@blueprint.get("/new")
@requires("rating.manage")
def new(workspace_id: UUID) -> Response:
    """Show the form; the address may say which days and which model."""
    today = utc_now().astimezone(rollup_zones.load(_timezone())).date()
    given = forms.empty(
        new_id=str(forms.fresh_id()),
        **{"from": forms.asked("from") or today.replace(day=1).isoformat()},
        to=forms.asked("to") or today.isoformat(),
        model=forms.asked("model"),
    )
    return render.page(TEMPLATE, block="form", view="form", given=given, models=_models(workspace_id))


@blueprint.post("")
@requires("rating.manage")
def create(workspace_id: UUID) -> Response:
    """Order a dry run."""
    form = forms.sent()
    run_id = forms.row_id(workspace_id, form)
    since, until = _instant(form, "from"), _instant(form, "to", days=1)
    choices = _models(workspace_id)
    model = form.text("model")
    if model not in {value for value, _ in choices}:
        form.problems["model"] = "is none of this workspace's"
    if since and until and not form.problems:
        with form.refusals():
            options: dict[str, Any] = {"run_id": run_id, "by": here().person.user_id}
            options["model_id"] = UUID(model) if model else None
            rating_runs.try_out(workspace_id, since, until, form.text("reason"), **options)
            return render.done(to=_address(workspace_id, run_id), toast="The dry run is on its way.")
    return render.problem(TEMPLATE, block="form", view="form", given=form, models=choices)


@blueprint.get("/<uuid:run_id>")
@requires("rating.read")
def show(workspace_id: UUID, run_id: UUID) -> Response:
    """Show one run; the page asks again while it is going."""
    run = rating_runs.get(workspace_id, run_id)
    return render.page(TEMPLATE, block="run", view="show", **_about(workspace_id, run))


@blueprint.post("/<uuid:run_id>/apply")
@requires("rating.manage")
def apply(workspace_id: UUID, run_id: UUID) -> Response:
    """Do for good what a dry run has shown."""
    form = forms.sent()
    new_id = forms.row_id(workspace_id, form)
    with form.refusals():
        rating_runs.apply(workspace_id, run_id, run_id=new_id, by=here().person.user_id)
        return render.done(to=_address(workspace_id, new_id), toast="The recompute is on its way.")
    return _refused(workspace_id, run_id, form)


@blueprint.post("/<uuid:run_id>/cancel")
@requires("rating.manage")
def cancel(workspace_id: UUID, run_id: UUID) -> Response:
    """Stop a run; the days that it has replaced stay replaced."""
    form = forms.sent()
    with form.refusals():
        rating_runs.cancel(workspace_id, run_id, now=utc_now())
        return render.done(to=_address(workspace_id, run_id), toast="The run is cancelled.")
    return _refused(workspace_id, run_id, form)


def _refused(workspace_id: UUID, run_id: UUID, form: Form) -> Response:
    about = _about(workspace_id, rating_runs.get(workspace_id, run_id), problem=form.problems.get("run"))
    return render.problem(TEMPLATE, block="run", view="show", **about)


def _about(workspace_id: UUID, run: Run, *, problem: str | None = None) -> dict[str, Any]:
    """Everything a run's page shows."""
    found = rating_runs.deltas(workspace_id, run.run_id)
    before, after = rating_runs.total(found)
    values: dict[str, Any] = {"run": run, "deltas": found, "before": before, "after": after, "kinds": KINDS}
    values |= {"names": _names(workspace_id, run, found), "problem": problem, "new_id": str(forms.fresh_id())}
    return values


def _names(workspace_id: UUID, run: Run, found: list[Delta]) -> dict[UUID, str]:
    asked = {"application": [one.application_id for one in found], "model": [run.model_id] if run.model_id else []}
    with transaction(workspace_id) as session:
        known = labels.of(session, workspace_id, asked, before=run.until)
    return {one: label.name for name in asked for one, label in known[name].items()}


def _models(workspace_id: UUID) -> list[tuple[str, str]]:
    with transaction(workspace_id) as session:
        known = labels.of(session, workspace_id, {}, before=utc_now())["model"]
    named = sorted((label.name, str(one)) for one, label in known.items())
    return [("", "Every model"), *((value, name) for name, value in named)]


def _instant(form: Form, name: str, *, days: int = 0) -> datetime | None:
    """Read a day: its first instant where the workspace is, or that of the day after."""
    try:
        day = date.fromisoformat(form.text(name))
    except ValueError:
        day = LATEST
    if not EARLIEST <= day < LATEST:
        form.problems[name] = "must be a day such as 2026-05-31"
        return None
    return start_of_day(day + timedelta(days=days), rollup_zones.load(_timezone()))


def _timezone() -> str:
    workspace = here().workspace
    return workspace.timezone if workspace else "UTC"


def _address(workspace_id: UUID, run_id: UUID) -> str:
    return url_for("recompute.show", workspace_id=workspace_id, run_id=run_id)
