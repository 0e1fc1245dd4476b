"""A statement: as a page, to print, and as CSV."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response

from app.billing import exports, periods, statement_csv, statements
from app.billing.statements import Statement
from app.console import forms, render, usage_form
from app.console.guard import requires

TEMPLATE = "console/statement.html"
PRINTED = "console/statement_print.html"

blueprint = Blueprint("statements", __name__, url_prefix="/w/<uuid:workspace_id>/statements")


@blueprint.get("/<uuid:statement_id>")
@requires("periods.read")
def show(workspace_id: UUID, statement_id: UUID) -> Response:
    """Show one statement."""
    return render.page(TEMPLATE, **_about(statements.get(workspace_id, statement_id)))


@blueprint.get("/<uuid:statement_id>/print")
@requires("periods.read")
def printed(workspace_id: UUID, statement_id: UUID) -> Response:
    """Show the statement alone, as a sheet of paper has it."""
    return render.page(PRINTED, **_about(statements.get(workspace_id, statement_id)))


@blueprint.get("/<uuid:statement_id>.csv")
@requires("periods.read")
def lines(workspace_id: UUID, statement_id: UUID) -> Response:
    """Give the lines as CSV; taking them away is noted in the audit trail."""
    statement = statements.get(workspace_id, statement_id)
    flavour = usage_form.one_of(exports.FLAVOURS, forms.asked("for"))
    response = Response(statement_csv.of(statement, flavour), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="statement-{statement.number}.csv"'
    exports.note(workspace_id, f"statement {statement.number}", {"flavour": flavour})
    return response


def _about(statement: Statement) -> dict[str, Any]:
    """Everything a statement shows: the lines by their kind, and whether they are those that the month closed with."""
    period = periods.get(statement.workspace_id, statement.month)
    closed_with = None if statement.voided_at else period.totals_hash
    return {
        "statement": statement,
        "month": periods.name_of(statement.month),
        "period": period,
        "intact": closed_with is None or closed_with == statement.totals_hash,
    }
