"""Prices: what each model costs, since when and by which row; what waits for a price; why a call cost what it did."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, url_for

from app.billing import explained, labels, open_months, unpriced
from app.console import forms, price_form, render
from app.console.forms import Form
from app.console.guard import here, requires
from app.extensions import snapshot
from app.model import adjustments, models, price_book, price_changes, price_subjects
from app.model.price_book import PRICED
from app.model.price_changes import Change
from app.model.price_subjects import Subject
from app.model.prices import CONTRACT, LIST, PROVIDER_COST, SERVICE_TIERS
from app.units import PLATFORM_ID, utc_now
from app.workspace import workspaces
from app.workspace.names import NotFound

TEMPLATE = "console/prices.html"
BY_FILE = "A configuration file manages this model. Change its prices there."
CHANGED = "Somebody else has changed these prices since you opened the page. Reload it to see how they are now."
KINDS = {LIST: "list", CONTRACT: "contract", PROVIDER_COST: "provider cost"}

blueprint = Blueprint("prices", __name__, url_prefix="/w/<uuid:workspace_id>/prices")


@blueprint.get("")
@requires("prices.read")
def index(workspace_id: UUID) -> Response:
    """List the models that can be called from here, each with what its tokens cost now."""
    search, shared = forms.asked("q"), forms.asked("of") == "platform" and workspace_id != PLATFORM_ID
    owner = PLATFORM_ID if shared else workspace_id
    with snapshot(owner):
        found = models.page(owner, search=search, after=forms.asked("after") or None)
        current = price_book.current_tiers(owner)
    contracts = price_book.current_tiers(workspace_id, contracts=True) if shared else {}
    values: dict[str, Any] = {"found": found, "search": search, "shared": shared, "current": current}
    values |= {"contracts": contracts, "standard": price_book.STANDARD_LIST, "is_platform": workspace_id == PLATFORM_ID}
    return render.page(TEMPLATE, block="rows", view="list", contract=price_book.Slot(CONTRACT), **values)


@blueprint.get("/unpriced")
@requires("prices.read")
def waiting(workspace_id: UUID) -> Response:
    """List the models whose calls have no cost yet."""
    now = utc_now()
    found = unpriced.queue(workspace_id, now=now)
    with snapshot(workspace_id) as session:
        names = labels.of(session, workspace_id, {"model": {one.model_id for one in found}}, before=now)
    return render.page(TEMPLATE, view="unpriced", found=found, names=names["model"])


@blueprint.get("/why")
@requires("prices.read")
def why(workspace_id: UUID) -> Response:
    """Explain the cost of the call whose request id the address has."""
    asked, found = forms.asked("request"), None
    problem = ""
    if asked:
        try:
            found = explained.explain(workspace_id, UUID(asked))
        except (ValueError, OverflowError, NotFound):
            problem = "There is no such call in this workspace. It takes some seconds until a call is in the ledger."
    values: dict[str, Any] = {
        "asked": asked,
        "call": found,
        "problem": problem,
        "kinds": KINDS,
        "timezone": price_form.timezone(),
    }
    return render.page(TEMPLATE, view="why", **values)


@blueprint.get("/<uuid:model_id>")
@requires("prices.read")
def show(workspace_id: UUID, model_id: UUID) -> Response:
    """Show the prices of a model or deployment, now and before, and the form that changes them."""
    return render.page(TEMPLATE, block="change", view="show", **about(workspace_id, model_id))


@blueprint.post("/<uuid:model_id>")
@requires("prices.manage")
def change(workspace_id: UUID, model_id: UUID) -> Response:
    """Change list prices of an own model or deployment, from any time in an open month on."""
    subject = price_subjects.find(workspace_id, model_id, shared=False)
    if subject.managed_by == "file":
        abort(409, BY_FILE)
    form = forms.sent()
    wanted = price_form.change_of(form, model_id)
    if not form.problems:
        with form.refusals():
            return made(workspace_id, wanted)
    return render.problem(TEMPLATE, block="change", view="show", **about(workspace_id, model_id, given=form))


def made(workspace_id: UUID, wanted: Change) -> Response:
    """Make a change and go to its subject's page; 409 when somebody else was faster. Raises `Invalid`."""
    since = open_months.open_since(workspace_id) if wanted.since else None
    try:
        changed = price_changes.change(workspace_id, wanted, open_since=since)
    except price_book.Changed:
        abort(409, CHANGED)
    recompute = price_form.past_day(wanted.since) if changed else None
    to = url_for("prices.show", workspace_id=workspace_id, model_id=wanted.subject_id, recompute=recompute)
    return render.done(to=to, toast=price_form.said(changed, wanted.since))


def about(
    workspace_id: UUID, model_id: UUID, *, given: Form | None = None, terms: Form | None = None
) -> dict[str, Any]:
    """Everything the page of a model or deployment shows; a form that was not right as it was typed."""
    subject = price_subjects.find(workspace_id, model_id, shared=True)
    shown = (LIST, CONTRACT, PROVIDER_COST) if here().may("contracts.manage") else (LIST, CONTRACT)
    recompute = forms.asked("recompute")
    return {
        "subject": subject,
        "rows": price_changes.history(workspace_id, model_id, shown),
        "deployments": [] if subject.is_deployment else price_subjects.serving(workspace_id, subject),
        "seen": price_book.mark(workspace_id, model_id),
        "given": given or forms.empty(),
        "terms": terms or forms.empty(),
        "may_list": _may_list(workspace_id, subject),
        "by_file": subject.managed_by == "file",
        "term_kinds": term_kinds(workspace_id, subject),
        "meters": PRICED,
        "tiers": SERVICE_TIERS,
        "kinds": KINDS,
        "now": utc_now(),
        "timezone": price_form.timezone(),
        "adjusted": _factor_now(workspace_id),
        "recompute": recompute,
        "callers": _callers() if recompute and workspace_id == PLATFORM_ID else [],
    }


def term_kinds(workspace_id: UUID, subject: Subject) -> list[tuple[str, str]]:
    """Which terms can be set here: a workspace's contract, and what the provider takes where the model is at home."""
    if not here().may("contracts.manage"):
        return []
    found = [] if workspace_id == PLATFORM_ID else [(CONTRACT, "contract price")]
    return found + ([(PROVIDER_COST, "provider cost")] if subject.owner_id == workspace_id else [])


def _may_list(workspace_id: UUID, subject: Subject) -> bool:
    at_home = subject.owner_id == workspace_id and subject.managed_by != "file"
    return at_home and here().may("prices.manage")


def _factor_now(workspace_id: UUID) -> Any:
    now = utc_now()
    return next((one.factor for one in adjustments.history(workspace_id) if one.counts_at(now)), None)


def _callers() -> list[workspaces.Workspace]:
    """List who may call the platform's models: each has calls of its own to recompute."""
    return [one for one in workspaces.all_of_platform() if not one.archived_at and one.workspace_id != PLATFORM_ID]
