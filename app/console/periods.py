"""Billing: the months of a workspace, and one month's way from open to closed."""

from datetime import date
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, url_for

from app.billing import closing, credit_notes, period_view, periods, rollup_zones, statements
from app.billing.periods import CLOSED, OPEN
from app.console import forms, render
from app.console.forms import Form
from app.console.guard import here, requires
from app.units import utc_now
from app.workspace import workspaces

TEMPLATE = "console/periods.html"

blueprint = Blueprint("periods", __name__, url_prefix="/w/<uuid:workspace_id>/periods")


@blueprint.get("")
@requires("periods.read")
def index(workspace_id: UUID) -> Response:
    """List the months, the newest first, each with its statements; and the purchase order number."""
    now = utc_now()
    found = periods.listed(workspace_id, now=now, until=periods.month_named(forms.asked("until")))
    return render.page(TEMPLATE, block="rows", view="list", **_list(workspace_id, found))


@blueprint.get("/month")
@requires("periods.read")
def show(workspace_id: UUID) -> Response:
    """Show the month of the address, or the running one: its lines, its checklist, and what can be done."""
    values = _about(workspace_id, _asked(), forms.empty())
    if values["found"].period.start > utc_now():
        abort(404)
    return render.page(TEMPLATE, block="month", **values)


@blueprint.post("/draft")
@requires("periods.manage")
def draft(workspace_id: UUID) -> Response:
    """Take a month out of open, to look at it before it is closed."""
    form, month = _sent()
    with form.refusals():
        period = closing.draft(workspace_id, month, now=utc_now())
        return _done(workspace_id, month, f"{period.name} is a draft.")
    return _problem(workspace_id, month, form)


@blueprint.post("/withdraw")
@requires("periods.manage")
def withdraw(workspace_id: UUID) -> Response:
    """Put a draft back to open."""
    form, month = _sent()
    with form.refusals():
        closing.withdraw(workspace_id, month)
        return _done(workspace_id, month, f"{periods.name_of(month)} is open again.")
    return _problem(workspace_id, month, form)


@blueprint.post("/close")
@requires("periods.manage")
def close(workspace_id: UUID) -> Response:
    """Close a draft and issue its statement."""
    form, month = _sent()
    options: dict[str, Any] = {"by": here().person.user_id, "unpriced_confirmed": form.text("unpriced") == "yes"}
    with form.refusals():
        issued = closing.close(workspace_id, month, now=utc_now(), **options)
        to = url_for("statements.show", workspace_id=workspace_id, statement_id=issued.statement_id)
        return render.done(to=to, toast=f"{periods.name_of(month)} is closed.")
    return _problem(workspace_id, month, form)


@blueprint.post("/reopen")
@requires("periods.reopen")
def reopen(workspace_id: UUID) -> Response:
    """Open a closed month again, and void its statement."""
    form, month = _sent()
    with form.refusals():
        closing.reopen(workspace_id, month, form.text("reason"), now=utc_now())
        return _done(workspace_id, month, f"{periods.name_of(month)} is open again and its statement is void.")
    return _problem(workspace_id, month, form)


@blueprint.post("/credit")
@requires("periods.reopen")
def credit(workspace_id: UUID) -> Response:
    """Credit an amount to a month that is not closed."""
    form, month = _sent()
    amount = form.price("amount")
    if amount is None:
        form.problems.setdefault("amount", "is missing")
    if amount and not form.problems:
        about: dict[str, Any] = {"by": here().person.user_id, "credit_id": forms.row_id(workspace_id, form)}
        with form.refusals():
            credit_notes.grant(workspace_id, month, amount, form.text("reason"), now=utc_now(), **about)
            return _done(workspace_id, month, "The credit is on the statement.")
    form.problems.setdefault("amount", "must be more than 0") if not amount else None
    return _problem(workspace_id, month, form)


@blueprint.post("/po-number")
@requires("settings.manage")
def save_po_number(workspace_id: UUID) -> Response:
    """Set the purchase order number that the next statements carry."""
    form = forms.sent()
    with form.refusals():
        workspaces.set_po_number(workspace_id, form.text("po_number") or None)
        return render.done(to=url_for("periods.index", workspace_id=workspace_id), toast="Saved.")
    found = periods.listed(workspace_id, now=utc_now())
    return render.problem(TEMPLATE, block="rows", view="list", **_list(workspace_id, found) | {"given": form})


def _list(workspace_id: UUID, found: list[periods.Period]) -> dict[str, Any]:
    oldest = found[-1].month if len(found) == periods.PAGE else None
    return {
        "found": found,
        "issued": statements.of_months(workspace_id, [one.month for one in found]),
        "until": periods.name_of(periods.before(oldest)) if oldest else None,
        "given": forms.empty(po_number=workspaces.po_number(workspace_id) or ""),
    }


def _about(workspace_id: UUID, month: date, form: Form) -> dict[str, Any]:
    """Everything the page of a month shows."""
    now = utc_now()
    view = period_view.of(workspace_id, month, now=now)
    is_over = view.period.end <= now
    return {
        "view": "month",
        "found": view,
        "is_over": is_over,
        "can_draft": view.period.state == OPEN and is_over,
        "can_credit": view.period.state != CLOSED,
        "given": form,
        "new_id": str(forms.fresh_id()),
    }


def _asked() -> date:
    """Read the month of the address; without one, the month by the workspace's calendar."""
    name, workspace = forms.asked("month"), here().workspace
    in_zone = rollup_zones.load(workspace.timezone if workspace else "UTC")
    month = periods.month_named(name) if name else utc_now().astimezone(in_zone).date().replace(day=1)
    return month or abort(404)


def _sent() -> tuple[Form, date]:
    """Read the form and its month, which the page itself has put there."""
    form = forms.sent()
    month = periods.month_named(form.text("month"))
    if month is None:
        abort(400, "The form names no month. Open it again.")
    return form, month


def _done(workspace_id: UUID, month: date, toast: str) -> Response:
    to = url_for("periods.show", workspace_id=workspace_id, month=periods.name_of(month))
    return render.done(to=to, toast=toast)


def _problem(workspace_id: UUID, month: date, form: Form) -> Response:
    return render.problem(TEMPLATE, block="month", **_about(workspace_id, month, form))
