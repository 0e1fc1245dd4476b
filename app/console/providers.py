"""Providers: upstream accounts. A stored secret never comes back to the browser, only its last four characters."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, url_for

from app.console import forms, render
from app.console.forms import Form
from app.console.guard import requires
from app.model import models
from app.provider import credentials, providers, upstream_models
from app.provider.adapters import ADAPTERS
from app.provider.providers import TIMEOUTS, Account, InUse, Provider
from app.units import PLATFORM_ID

TEMPLATE = "console/providers.html"
BY_FILE = "A configuration file manages this provider. Change it there."
MASK = "••••"

blueprint = Blueprint("providers", __name__, url_prefix="/w/<uuid:workspace_id>/providers")


@blueprint.get("")
@requires("providers.read")
def index(workspace_id: UUID) -> Response:
    """List the workspace's own accounts, or the platform's, which it may use and not see into."""
    search, shared = forms.asked("q"), forms.asked("of") == "platform" and workspace_id != PLATFORM_ID
    owner = PLATFORM_ID if shared else workspace_id
    found = providers.page(owner, search=search, after=forms.asked("after") or None)
    last4 = {} if shared else credentials.last4(workspace_id, [one.provider_id for one in found.items])
    shut = credentials.unreadable(owner, list(last4))
    values: dict[str, Any] = {"found": found, "search": search, "shared": shared, "last4": last4, "unreadable": shut}
    return render.page(TEMPLATE, block="rows", view="list", is_platform=workspace_id == PLATFORM_ID, **values)


@blueprint.get("/new")
@requires("providers.manage")
def new(workspace_id: UUID) -> Response:
    """Show the empty form."""
    assert workspace_id
    given = forms.empty(new_id=str(forms.fresh_id()), kind="openai")
    return render.page(TEMPLATE, block="form", view="new", given=given, **_choices())


@blueprint.post("")
@requires("providers.manage")
def create(workspace_id: UUID) -> Response:
    """Make an account; its next step is the test."""
    form = forms.sent()
    account = _read(form)
    if not form.problems:
        with form.refusals():
            made = providers.create(
                workspace_id,
                account,
                api_key=form.text("api_key"),
                provider_id=forms.row_id(workspace_id, form),
            )
            return render.done(to=_address(workspace_id, made), toast="The provider is there. Test it now.")
    return render.problem(TEMPLATE, block="form", view="new", given=form, **_choices())


@blueprint.get("/<uuid:provider_id>")
@requires("providers.read")
def show(workspace_id: UUID, provider_id: UUID) -> Response:
    """Show one account with its form."""
    about = _about(workspace_id, provider_id)
    return render.page(TEMPLATE, block="form", view="show", given=_form_of(about["provider"]), **about)


@blueprint.post("/<uuid:provider_id>")
@requires("providers.manage")
def edit(workspace_id: UUID, provider_id: UUID) -> Response:
    """Change the account; the secret only when another one is typed."""
    _editable(workspace_id, provider_id)
    form, about = forms.sent(), _about(workspace_id, provider_id)
    account = _read(form)
    if not form.problems:
        with form.refusals():
            providers.edit(workspace_id, provider_id, account, api_key=_new_secret(form, about["mask"]))
            return render.done(to=_address(workspace_id, provider_id), toast="Saved. Proxies know within a second.")
    return render.problem(TEMPLATE, block="form", view="show", given=form, **about)


@blueprint.post("/<uuid:provider_id>/test")
@requires("providers.manage")
def test(workspace_id: UUID, provider_id: UUID) -> Response:
    """Ask the upstream for its models with the stored secret. It costs nothing."""
    tested = upstream_models.ask(workspace_id, provider_id)
    about = _about(workspace_id, provider_id)
    given = _form_of(about["provider"])
    return render.page(TEMPLATE, block="tested", view="show", given=given, tested=tested, **about)


@blueprint.get("/<uuid:provider_id>/delete")
@requires("providers.manage")
def confirm_delete(workspace_id: UUID, provider_id: UUID) -> Response:
    """Say which models use the account; with one of them it stays."""
    _editable(workspace_id, provider_id)
    return render.page(TEMPLATE, block="delete", view="delete", **_about(workspace_id, provider_id))


@blueprint.post("/<uuid:provider_id>/delete")
@requires("providers.manage")
def delete(workspace_id: UUID, provider_id: UUID) -> Response:
    """Remove an account that no model uses, and its secret."""
    _editable(workspace_id, provider_id)
    try:
        providers.delete(workspace_id, provider_id)
    except InUse:
        abort(409, "Models use this provider. Give them another one first.")
    return render.done(to=url_for("providers.index", workspace_id=workspace_id), toast="The provider is removed.")


def _editable(workspace_id: UUID, provider_id: UUID) -> Provider:
    provider = providers.get(workspace_id, provider_id)
    if provider.managed_by == "file":
        abort(409, BY_FILE)
    return provider


def _about(workspace_id: UUID, provider_id: UUID) -> dict[str, Any]:
    last4 = credentials.last4(workspace_id, [provider_id]).get(provider_id)
    about = {
        "provider": providers.get(workspace_id, provider_id),
        "mask": None if last4 is None else MASK + last4,
        "unreadable": credentials.unreadable(workspace_id, [provider_id]),
        "users": models.using(workspace_id, provider_id),
    }
    return about | _choices()


def _choices() -> dict[str, Any]:
    kinds = [(name, f"{name}: {adapter.base_url}") for name, adapter in ADAPTERS.items()]
    return {"kinds": kinds, "timeouts": TIMEOUTS}


def _form_of(provider: Provider) -> Form:
    deadlines = {name: f"{value:g}" for name, value in provider.timeouts.items()}
    return forms.empty(name=provider.name, kind=provider.kind, base_url=provider.base_url, **deadlines)


def _read(form: Form) -> Account:
    """Read everything but the secret. An empty address is the usual one of the kind."""
    kind = form.text("kind")
    usual = ADAPTERS[kind].base_url if kind in ADAPTERS else ""
    deadlines = {name: value for name in TIMEOUTS if (value := form.seconds(name)) is not None}
    return Account(name=form.text("name"), kind=kind, base_url=form.text("base_url") or usual, timeouts=deadlines)


def _new_secret(form: Form, mask: str | None) -> str | None:
    """Find the secret to store: None keeps what is there, and so does the mask, should it come back."""
    if form.text("no_secret"):
        return ""
    typed = form.text("api_key")
    return typed if typed and typed != mask else None


def _address(workspace_id: UUID, provider_id: UUID) -> str:
    return url_for("providers.show", workspace_id=workspace_id, provider_id=provider_id)
