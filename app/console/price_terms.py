"""Terms: contract prices, provider costs and the adjustment of a workspace's list prices. Platform admins set them."""

from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, url_for

from app.billing import margins, open_months
from app.console import forms, price_form, prices, render
from app.console.forms import Form
from app.console.guard import here, requires
from app.model import adjustments, price_subjects
from app.model.adjustments import Wanted
from app.units import PLATFORM_ID, utc_now

TEMPLATE = "console/adjustments.html"
LONGEST_FACTOR = 12

blueprint = Blueprint("price_terms", __name__, url_prefix="/w/<uuid:workspace_id>/prices")


@blueprint.post("/<uuid:model_id>/terms")
@requires("contracts.manage")
def change(workspace_id: UUID, model_id: UUID) -> Response:
    """Set a contract price of this workspace, or what the provider takes."""
    subject = price_subjects.find(workspace_id, model_id, shared=True)
    form, kinds = forms.sent(), dict(prices.term_kinds(workspace_id, subject))
    kind = form.text("kind")
    if kind not in kinds:
        form.problems["kind"] = "choose one from the list"
    wanted = price_form.change_of(form, model_id, kind=kind if kind in kinds else "contract")
    if not form.problems:
        with form.refusals():
            return prices.made(workspace_id, wanted)
    values = prices.about(workspace_id, model_id, terms=form)
    return render.problem(prices.TEMPLATE, block="terms", view="show", **values)


@blueprint.get("/adjustments")
@requires("prices.read")
def index(workspace_id: UUID) -> Response:
    """Show what the workspace's list prices are multiplied by, now and before."""
    return render.page(TEMPLATE, block="form", **_page(workspace_id, forms.empty()))


@blueprint.post("/adjustments")
@requires("contracts.manage")
def adjust(workspace_id: UUID) -> Response:
    """Set the factor from now on, or from another time in an open month."""
    form = forms.sent()
    factor, now = _factor(form), utc_now()
    since = form.moment("since", price_form.timezone())
    if factor is not None and not form.problems:
        with form.refusals():
            wanted = Wanted(factor=factor, since=since or now, note=form.text("note"), by=here().person.user_id)
            opened = open_months.open_since(workspace_id) if since else None
            changed = adjustments.set_factor(workspace_id, wanted, open_since=opened)
            recompute = price_form.past_day(since) if changed else None
            to = url_for("price_terms.index", workspace_id=workspace_id, recompute=recompute)
            return render.done(to=to, toast=price_form.said(["factor"] if changed else [], since))
    return render.problem(TEMPLATE, block="form", **_page(workspace_id, form))


def _page(workspace_id: UUID, form: Form) -> dict[str, Any]:
    now = utc_now()
    return {
        "given": form,
        "rows": adjustments.history(workspace_id),
        "now": now,
        "timezone": price_form.timezone(),
        "is_platform": workspace_id == PLATFORM_ID,
        "recompute": forms.asked("recompute"),
        "margins": margins.recent(workspace_id, price_form.timezone(), now=now)
        if here().may("contracts.manage")
        else [],
    }


def _factor(form: Form) -> Decimal | None:
    """Read the factor; None with a problem when it is none."""
    try:
        if len(form.text("factor")) <= LONGEST_FACTOR:
            return Decimal(form.text("factor"))
    except InvalidOperation:
        pass
    form.problems["factor"] = "must be a number such as 0.9"
    return None
