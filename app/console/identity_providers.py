"""Identity providers: where people sign in, for the platform's admin. A stored secret never comes back to the browser."""

from dataclasses import asdict
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, url_for

from app.auth import identity_providers, users
from app.auth.identity_providers import IdentityProvider
from app.auth.registrations import GRAPH, MICROSOFT, SEVERAL, Registration
from app.console import forms, origin, render, sso
from app.console.forms import Form
from app.console.guard import requires
from app.units import PLATFORM_ID, utc_now
from app.workspace import workspaces
from app.workspace.members import ROLES
from app.workspace.names import Invalid

TEMPLATE = "console/identity_providers.html"
EXPIRES_SOON = timedelta(days=30)
MEANINGS = {
    "mapped": "Only for whom a mapping gives a role",
    "default": "For everybody, with a role in one workspace",
    "off": "Never: only for who is provisioned or invited",
}
"""When an account is made for somebody new."""

blueprint = Blueprint("identity_providers", __name__, url_prefix="/platform/sign-in")


@blueprint.get("")
@requires("platform.read")
def index() -> Response:
    """List the providers."""
    return render.page(TEMPLATE, view="list", **_list())


@blueprint.get("/new")
@requires("platform.manage")
def new() -> Response:
    """Show the empty form."""
    given = forms.empty(new_id=str(forms.fresh_id()), kind="entra", accounts="mapped")
    return render.page(TEMPLATE, block="form", view="new", given=given, **_about(None))


@blueprint.post("")
@requires("platform.manage")
def create() -> Response:
    """Add a provider; its next step is the test."""
    form = forms.sent()
    own, about = forms.row_id(PLATFORM_ID, form), _read(form)
    with form.refusals():
        if not form.problems:
            made = identity_providers.add(about, secret=form.text("secret"), provider_id=own)
            return render.done(to=_address(made), toast="The identity provider is there. Test it now.")
    return render.problem(TEMPLATE, block="form", view="new", given=form, **_about(None))


@blueprint.get("/<uuid:identity_provider_id>")
@requires("platform.read")
def show(identity_provider_id: UUID) -> Response:
    """Show one provider with its form, and what to type into it at the other end."""
    provider = identity_providers.get(identity_provider_id)
    return render.page(TEMPLATE, block="form", view="show", given=_form_of(provider), **_about(provider))


@blueprint.post("/<uuid:identity_provider_id>")
@requires("platform.manage")
def edit(identity_provider_id: UUID) -> Response:
    """Change a provider; the secret only when another one is typed."""
    provider, form = identity_providers.get(identity_provider_id), forms.sent()
    about = _read(form, kind=provider.registration.kind)
    with form.refusals():
        if not form.problems:
            identity_providers.edit(identity_provider_id, about, secret=_new_secret(form))
            return render.done(to=_address(identity_provider_id), toast="Saved.")
    return render.problem(TEMPLATE, block="form", view="show", given=form, **_about(provider))


@blueprint.get("/<uuid:identity_provider_id>/test")
@requires("platform.manage")
def test(identity_provider_id: UUID) -> Response:
    """Sign in there, without becoming whom it says; disabled providers may be tested too."""
    provider, here_again = identity_providers.get(identity_provider_id), _address(identity_provider_id)
    return sso.send_away(provider, "test", onward=here_again, otherwise=here_again)


@blueprint.post("/<uuid:identity_provider_id>/disable")
@requires("platform.manage")
def disable(identity_provider_id: UUID) -> Response:
    """Let nobody sign in there any more."""
    try:
        identity_providers.disable(identity_provider_id, now=utc_now())
    except Invalid as refused:
        abort(409, f"The identity provider {refused.problem}.")
    return render.leave(_address(identity_provider_id), toast="Disabled. The sessions that began there have ended.")


@blueprint.post("/<uuid:identity_provider_id>/enable")
@requires("platform.manage")
def enable(identity_provider_id: UUID) -> Response:
    """Let people sign in there again."""
    identity_providers.enable(identity_provider_id)
    return render.leave(_address(identity_provider_id), toast="Enabled. It is on the sign-in page.")


def _list() -> dict[str, Any]:
    found = identity_providers.of_all()
    people = users.of([one.tested_by for one in found if one.tested_by])
    return {"found": found, "people": people, "meanings": MEANINGS, **_dates()}


def _about(provider: IdentityProvider | None) -> dict[str, Any]:
    """Everything the page shows beside what was typed."""
    tester = users.of([provider.tested_by]) if provider and provider.tested_by else {}
    return {
        "provider": provider,
        "tester": next(iter(tester.values()), None),
        "workspaces": [(str(one.workspace_id), one.name) for one in _open_workspaces()],
        "roles": ROLES,
        "choices": list(MEANINGS.items()),
        "meanings": MEANINGS,
        "microsoft": MICROSOFT,
        "graph": GRAPH,
        "several": SEVERAL,
        "ours": _our_addresses(),
        **_dates(),
    }


def _dates() -> dict[str, Any]:
    today = utc_now().date()
    return {"today": today, "soon": today + EXPIRES_SOON}


def _our_addresses() -> list[tuple[str, str]]:
    """What has to be typed into the registration at the other end."""
    return [
        ("Redirect address", origin.absolute(url_for("sso.callback"))),
        ("Address after signing out", origin.absolute(url_for("sign_in.show"))),
        ("Front-channel sign-out address", origin.absolute(url_for("sso.front_channel"))),
    ]


def _open_workspaces() -> list[workspaces.Workspace]:
    return [one for one in workspaces.all_of_platform() if not one.archived_at and one.workspace_id != PLATFORM_ID]


def _form_of(provider: IdentityProvider) -> Form:
    about = provider.registration
    values = {name: "" if value is None else str(value) for name, value in asdict(about).items()}
    values |= {"default_workspace": values["default_workspace_id"], "allowed_tenants": "\n".join(about.allowed_tenants)}
    return forms.empty(**values | {"guests": "yes" if about.guests else ""})


def _read(form: Form, *, kind: str | None = None) -> Registration:
    """Read everything but the secret."""
    accounts = form.text("accounts")
    by_default = accounts == "default"
    return Registration(
        name=form.text("name"),
        kind=kind or form.text("kind"),
        client_id=form.text("client_id"),
        authority=form.text("authority"),
        tenant=form.text("tenant") or None,
        allowed_tenants=tuple(form.values.get("allowed_tenants", "").replace(",", " ").split()),
        secret_expires_on=_day(form, "secret_expires_on"),
        graph_url=form.text("graph_url"),
        token_audience=form.text("token_audience") or None,
        guests=bool(form.text("guests")),
        accounts=accounts,
        default_workspace_id=_id(form.text("default_workspace")) if by_default else None,
        default_role=form.text("default_role") or None if by_default else None,
    )


def _day(form: Form, name: str) -> date | None:
    raw = form.text(name)
    try:
        return date.fromisoformat(raw) if raw else None
    except ValueError:
        form.problems[name] = "is no date such as 2027-01-31"
        return None


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _new_secret(form: Form) -> str | None:
    """Find the secret to store: None keeps what is there."""
    return "" if form.text("no_secret") else form.text("secret") or None


def _address(identity_provider_id: UUID) -> str:
    return url_for("identity_providers.show", identity_provider_id=identity_provider_id)
