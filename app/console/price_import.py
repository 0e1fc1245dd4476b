"""The bundled price list: what it says of the own models that the book does not, and taking that over."""

from uuid import UUID

from flask import Blueprint, Response, request, url_for

from app.console import forms, render
from app.console.forms import Form
from app.console.guard import requires
from app.model import catalogue_import
from app.units import utc_now

TEMPLATE = "console/price_import.html"

blueprint = Blueprint("price_import", __name__, url_prefix="/w/<uuid:workspace_id>/prices/import")


@blueprint.get("")
@requires("prices.manage")
def preview(workspace_id: UUID) -> Response:
    """Show what would change."""
    return _shown(workspace_id, forms.empty())


@blueprint.post("")
@requires("prices.manage")
def take(workspace_id: UUID) -> Response:
    """Set the chosen prices from now on."""
    form, chosen = forms.sent(), request.form.getlist("chosen")
    if not chosen:
        form.problems["chosen"] = "choose at least one model"
    else:
        with form.refusals():
            names = catalogue_import.take(workspace_id, chosen, now=utc_now())
            said = f"Prices of {len(names)} {'model' if len(names) == 1 else 'models'} count from now."
            return render.done(to=url_for("prices.index", workspace_id=workspace_id), toast=said)
    return _shown(workspace_id, form, status=422)


def _shown(workspace_id: UUID, form: Form, status: int = 200) -> Response:
    found = catalogue_import.preview(workspace_id, now=utc_now())
    return render.page(TEMPLATE, block="form", status=status, found=found, given=form)
