"""Models: the aliases that applications ask for, where each is served, and what it costs."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from itertools import zip_longest
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, url_for

from app.billing import recent
from app.console import forms, render
from app.console.forms import Form
from app.console.guard import requires
from app.extensions import snapshot
from app.model import models, price_book
from app.model.models import Deployment, Model
from app.provider import providers
from app.units import PLATFORM_ID, utc_now
from app.wire.usage import METERS

TEMPLATE = "console/models.html"
BY_FILE = "A configuration file manages this model. Change it there."
CHANGED = "Somebody else has changed its prices since you opened the page. Reload it to see how they are now."
ROW = ("provider", "upstream_model", "weight", "priority")

blueprint = Blueprint("models", __name__, url_prefix="/w/<uuid:workspace_id>/models")


@blueprint.get("")
@requires("models.read")
def index(workspace_id: UUID) -> Response:
    """List the workspace's own aliases, or the platform's, which every workspace may ask for."""
    search, shared = forms.asked("q"), forms.asked("of") == "platform" and workspace_id != PLATFORM_ID
    owner = PLATFORM_ID if shared else workspace_id
    with snapshot(owner):
        found = models.page(owner, search=search, after=forms.asked("after") or None)
        names = {one.provider_id: one.name for one in providers.all_of(owner)}
        prices = price_book.current(owner)
    values: dict[str, Any] = {"found": found, "search": search, "shared": shared, "names": names}
    values |= {"prices": prices, "is_platform": workspace_id == PLATFORM_ID}
    return render.page(TEMPLATE, block="rows", view="list", **values)


@blueprint.get("/new")
@requires("models.manage")
def new(workspace_id: UUID) -> Response:
    """Show the empty form."""
    given = forms.empty(new_id=str(forms.fresh_id()))
    return render.page(TEMPLATE, block="form", view="new", given=given, **_choices(workspace_id, given))


@blueprint.post("")
@requires("models.manage")
def create(workspace_id: UUID) -> Response:
    """Make an alias; its next step is its price."""
    form = forms.sent()
    wanted = _deployments(form)
    if not form.problems:
        with form.refusals():
            model_id = forms.row_id(workspace_id, form)
            models.create(workspace_id, form.text("name"), wanted, model_id=model_id)
            return render.done(to=_address(workspace_id, model_id), toast="The model is there. Set its price now.")
    return render.problem(TEMPLATE, block="form", view="new", given=form, **_choices(workspace_id, form))


@blueprint.get("/<uuid:model_id>")
@requires("models.read")
def show(workspace_id: UUID, model_id: UUID) -> Response:
    """Show one alias: its form, and the form of its prices."""
    model = models.get(workspace_id, model_id)
    return render.page(TEMPLATE, block="form", view="show", **_page(workspace_id, model))


@blueprint.post("/<uuid:model_id>")
@requires("models.manage")
def edit(workspace_id: UUID, model_id: UUID) -> Response:
    """Change name and deployments; prices stay."""
    model = _editable(workspace_id, model_id)
    form = forms.sent()
    wanted = _deployments(form)
    if not form.problems:
        with form.refusals():
            models.edit(workspace_id, model_id, form.text("name"), wanted)
            return render.done(to=_address(workspace_id, model_id), toast="Saved. Proxies know within a second.")
    return render.problem(TEMPLATE, block="form", view="show", **_page(workspace_id, model, given=form))


@blueprint.post("/<uuid:model_id>/prices")
@requires("models.manage")
def price(workspace_id: UUID, model_id: UUID) -> Response:
    """Set the prices from now on; a meter left empty has none, which is not 0."""
    model = _editable(workspace_id, model_id)
    form = forms.sent()
    wanted = _prices(form)
    if not form.problems:
        with form.refusals():
            changed = _set_prices(workspace_id, model_id, wanted, seen=form.text("seen"))
            said = "The prices count from now." if changed else "The prices were these already."
            return render.done(to=_address(workspace_id, model_id), toast=said)
    return render.problem(TEMPLATE, block="prices", view="show", **_page(workspace_id, model, priced=form))


@blueprint.get("/<uuid:model_id>/delete")
@requires("models.manage")
def confirm_delete(workspace_id: UUID, model_id: UUID) -> Response:
    """Say what stops working."""
    model = _editable(workspace_id, model_id)
    calls = recent.calls_since(workspace_id, utc_now() - timedelta(hours=1), by="model", of=model_id)
    is_platform = workspace_id == PLATFORM_ID
    return render.page(TEMPLATE, block="delete", view="delete", model=model, calls=calls, is_platform=is_platform)


@blueprint.post("/<uuid:model_id>/delete")
@requires("models.manage")
def delete(workspace_id: UUID, model_id: UUID) -> Response:
    """Remove the alias; its calls and prices stay for the bill."""
    _editable(workspace_id, model_id)
    models.delete(workspace_id, model_id)
    return render.done(to=url_for("models.index", workspace_id=workspace_id), toast="The model is removed.")


def _set_prices(workspace_id: UUID, model_id: UUID, wanted: Mapping[str, Decimal], *, seen: str) -> bool:
    """Set what the form has; other meters, such as each call, keep their prices. 409 when somebody else was faster."""
    try:
        with price_book.held(workspace_id, model_id, seen=seen):
            others = price_book.current(workspace_id).get(model_id, {}).items()
            kept = {meter: unit_price for meter, unit_price in others if meter not in METERS}
            return price_book.set_prices(workspace_id, model_id, kept | dict(wanted), now=utc_now())
    except price_book.Changed:
        abort(409, CHANGED)


def _editable(workspace_id: UUID, model_id: UUID) -> Model:
    model = models.get(workspace_id, model_id)
    if model.managed_by == "file":
        abort(409, BY_FILE)
    return model


def _page(workspace_id: UUID, model: Model, *, given: Form | None = None, priced: Form | None = None) -> dict[str, Any]:
    """Everything a model's page shows; a form that was not right as it was typed."""
    current = price_book.current(workspace_id).get(model.model_id, {})
    given = given or _form_of(model)
    priced = priced or forms.empty(**{meter: _plain(amount) for meter, amount in current.items()})
    about: dict[str, Any] = {"model": model, "given": given, "priced": priced, "current": current, "meters": METERS}
    about["seen"] = price_book.mark(workspace_id, model.model_id)
    return about | _choices(workspace_id, given)


def _choices(workspace_id: UUID, given: Form) -> dict[str, Any]:
    accounts = [(str(one.provider_id), one.name) for one in providers.all_of(workspace_id)]
    return {"accounts": accounts, "rows": [*_rows(given), dict.fromkeys(ROW, "")]}


def _form_of(model: Model) -> Form:
    return forms.empty(
        name=model.name,
        provider=[str(one.provider_id) for one in model.deployments],
        upstream_model=[one.upstream_model for one in model.deployments],
        weight=[str(one.weight) for one in model.deployments],
        priority=[str(one.priority) for one in model.deployments],
    )


def _rows(form: Form) -> list[dict[str, str]]:
    """Read the deployments as they were typed; a row without a model at the upstream is no row."""
    columns = [form.values.getlist(name) for name in ROW]
    rows = (
        dict(zip(ROW, (cell.strip() for cell in cells), strict=True)) for cells in zip_longest(*columns, fillvalue="")
    )
    return [row for row in rows if row["upstream_model"]]


def _deployments(form: Form) -> list[Deployment]:
    return list(filter(None, (_deployment(form, row, place) for place, row in enumerate(_rows(form)))))


def _deployment(form: Form, row: dict[str, str], place: int) -> Deployment | None:
    """Read one row. Its problems carry its place: `weight-0` is the first row's."""
    cells = Form(forms.empty(**row).values)
    weight, priority = cells.whole("weight"), cells.whole("priority")
    try:
        provider_id = UUID(row["provider"])
    except ValueError:
        cells.problems["provider"] = "choose the account that serves it"
    form.problems |= {f"{name}-{place}": said for name, said in cells.problems.items()}
    if cells.problems:
        return None
    return Deployment(
        provider_id=provider_id,
        upstream_model=row["upstream_model"],
        weight=1 if weight is None else weight,
        priority=priority or 0,
    )


def _prices(form: Form) -> dict[str, Decimal]:
    return {meter: amount for meter in METERS if (amount := form.price(meter)) is not None}


def _plain(amount: Decimal) -> str:
    """Write a price as it may be typed: no exponent, no zeros behind."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _address(workspace_id: UUID, model_id: UUID) -> str:
    return url_for("models.show", workspace_id=workspace_id, model_id=model_id)
