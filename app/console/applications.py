"""Applications: the list, making one, its page, and closing it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, url_for

from app.application import applications, key_list, workload_keys
from app.application.applications import Application
from app.auth import token_issuers
from app.billing import recent
from app.console import forms, render
from app.console.forms import Form
from app.console.guard import requires
from app.units import utc_now

TEMPLATE = "console/applications.html"
BY_FILE = "A configuration file manages this application. Change it there."

blueprint = Blueprint("applications", __name__, url_prefix="/w/<uuid:workspace_id>/applications")


@blueprint.get("")
@requires("applications.read")
def index(workspace_id: UUID) -> Response:
    """List the open or the archived applications."""
    search, archived = forms.asked("q"), forms.asked("state") == "archived"
    found = applications.page(workspace_id, search=search, after=forms.asked("after") or None, archived=archived)
    active_keys = key_list.count_by_application(workspace_id, [one.application_id for one in found.items])
    values: dict[str, Any] = {"found": found, "active_keys": active_keys, "search": search, "archived": archived}
    return render.page(TEMPLATE, block="rows", view="list", **values)


@blueprint.get("/new")
@requires("applications.manage")
def new(workspace_id: UUID) -> Response:
    """Show the empty form."""
    assert workspace_id
    return render.page(TEMPLATE, block="form", view="new", given=forms.empty(new_id=str(forms.fresh_id())))


@blueprint.post("")
@requires("applications.manage")
def create(workspace_id: UUID) -> Response:
    """Make an application; its next step is a key."""
    form = forms.sent()
    tags = _tags(form)
    if not form.problems:
        with form.refusals():
            application_id = applications.create(
                workspace_id,
                form.text("name"),
                cost_centre=form.text("cost_centre") or None,
                tags=tags,
                application_id=forms.row_id(workspace_id, form),
            )
            return render.done(to=_address(workspace_id, application_id), toast="The application is there.")
    return render.problem(TEMPLATE, block="form", view="new", given=form)


@blueprint.get("/<uuid:application_id>")
@requires("applications.read")
def show(workspace_id: UUID, application_id: UUID) -> Response:
    """Show one application with its form."""
    application = applications.get(workspace_id, application_id)
    about = _about(workspace_id, application)
    return render.page(TEMPLATE, block="form", view="show", given=_form_of(application), **about)


@blueprint.post("/<uuid:application_id>")
@requires("applications.manage")
def edit(workspace_id: UUID, application_id: UUID) -> Response:
    """Change name, cost centre and tags."""
    application = _editable(workspace_id, application_id)
    form = forms.sent()
    tags = _tags(form)
    if not form.problems:
        with form.refusals():
            applications.edit(
                workspace_id,
                application_id,
                name=form.text("name"),
                cost_centre=form.text("cost_centre") or None,
                tags=tags,
            )
            return render.done(to=_address(workspace_id, application_id), toast="Saved.")
    return render.problem(TEMPLATE, block="form", view="show", given=form, **_about(workspace_id, application))


@blueprint.get("/<uuid:application_id>/archive")
@requires("applications.manage")
def confirm_archive(workspace_id: UUID, application_id: UUID) -> Response:
    """Say what stops working when the application is closed."""
    application = _editable(workspace_id, application_id)
    calls = recent.calls_since(workspace_id, utc_now() - timedelta(hours=1), by="application", of=application_id)
    about = _about(workspace_id, application)
    return render.page(TEMPLATE, block="archive", view="archive", calls=calls, **about)


@blueprint.post("/<uuid:application_id>/archive")
@requires("applications.manage")
def archive(workspace_id: UUID, application_id: UUID) -> Response:
    """Close the application: its keys stop working within a second."""
    application = _editable(workspace_id, application_id)
    if not application.archived_at:
        applications.archive(workspace_id, application_id, now=utc_now())
    return render.done(to=_address(workspace_id, application_id), toast="The application is archived.")


@blueprint.post("/<uuid:application_id>/restore")
@requires("applications.manage")
def restore(workspace_id: UUID, application_id: UUID) -> Response:
    """Open an archived application again, with those of its keys that were not revoked."""
    if _editable(workspace_id, application_id).archived_at:
        applications.revive(workspace_id, application_id)
    return render.done(to=_address(workspace_id, application_id), toast="The application is open again.")


def _editable(workspace_id: UUID, application_id: UUID) -> Application:
    application = applications.get(workspace_id, application_id)
    if application.managed_by == "file":
        abort(409, BY_FILE)
    return application


def _about(workspace_id: UUID, application: Application) -> dict[str, Any]:
    counts = key_list.count_by_application(workspace_id, [application.application_id])
    tokens = workload_keys.of_application(workspace_id, application.application_id)
    issuers = token_issuers.provider_names() if tokens else {}
    key_count = counts.get(application.application_id, 0)
    return {"application": application, "key_count": key_count, "tokens": tokens, "issuers": issuers}


def _address(workspace_id: UUID, application_id: UUID) -> str:
    return url_for("applications.show", workspace_id=workspace_id, application_id=application_id)


def _form_of(application: Application) -> Form:
    tags = "\n".join(f"{tag}={value}" for tag, value in sorted(application.tags.items()))
    return forms.empty(name=application.name, cost_centre=application.cost_centre or "", tags=tags)


def _tags(form: Form) -> dict[str, str]:
    """Read one `name=value` for each line."""
    found: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in form.text("tags").splitlines())):
        tag, equals, value = (part.strip() for part in line.partition("="))
        if not (tag and equals and value) or tag in found:
            form.problems["tags"] = "must be name=value, one a line, each name once"
        found[tag] = value
    return found
