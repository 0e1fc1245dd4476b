"""Tokens of programs: the keys of an application that have no secret, and making one. The rest is on the key's page."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, url_for

from app.application import applications, workload_keys
from app.application.applications import Application
from app.application.keys import ALL_MODELS, MadeBefore
from app.application.tokens import Token
from app.auth import token_issuers
from app.console import forms, key_form, render
from app.console.forms import Form
from app.console.guard import here, requires
from app.model import models

TEMPLATE = "console/workload_tokens.html"
CLAIMS = (("app_role", "Programs with an app role"), ("client", "One program, by its client id"))

blueprint = Blueprint(
    "workload_tokens", __name__, url_prefix="/w/<uuid:workspace_id>/applications/<uuid:application_id>/tokens"
)


@blueprint.get("/new")
@requires("keys.manage")
def new(workspace_id: UUID, application_id: UUID) -> Response:
    """Show the empty form."""
    about = _about(workspace_id, _open(workspace_id, application_id))
    given = forms.empty(new_id=str(forms.fresh_id()), claim="app_role", models=ALL_MODELS)
    return render.page(TEMPLATE, block="form", given=given, **about)


@blueprint.post("")
@requires("keys.manage")
def create(workspace_id: UUID, application_id: UUID) -> Response:
    """Make a key for which tokens stand."""
    application = _open(workspace_id, application_id)
    form = forms.sent()
    key_id = forms.row_id(workspace_id, form)
    wanted, token = key_form.read(form, _zone()), _token(form)
    if token and not form.problems:
        with form.refusals():
            try:
                workload_keys.create(
                    workspace_id,
                    application_id,
                    wanted["name"],
                    token,
                    models=wanted["models"],
                    limits=wanted["limits"],
                    expires_at=wanted["expires_at"],
                    key_id=key_id,
                )
                said = "Proxies accept these tokens within a second."
            except MadeBefore:
                said = "This key was made a moment ago."
            return render.done(to=url_for("keys.show", workspace_id=workspace_id, key_id=key_id), toast=said)
    return render.problem(TEMPLATE, block="form", given=form, **_about(workspace_id, application))


def _token(form: Form) -> Token | None:
    with form.refusals():
        return token_issuers.token(form.text("issuer"), form.text("claim"), form.text("value"))
    return None


def _open(workspace_id: UUID, application_id: UUID) -> Application:
    application = applications.get(workspace_id, application_id)
    if application.archived_at:
        abort(409, "This application is archived. Open it again first.")
    return application


def _about(workspace_id: UUID, application: Application) -> dict[str, Any]:
    names = sorted(models.names_of(workspace_id))
    return {"application": application, "issuers": token_issuers.offered(), "claims": CLAIMS, "names": names}


def _zone() -> str:
    workspace = here().workspace
    return workspace.timezone if workspace else "UTC"
