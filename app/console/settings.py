"""Settings of a workspace: its name, and the time zone in which its days and months begin."""

from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from flask import Blueprint, Response, abort, url_for

from app.application import workspace_settings
from app.console import forms, render
from app.console.guard import here, requires
from app.units import PLATFORM_ID
from app.workspace.workspaces import Workspace

TEMPLATE = "console/settings.html"
BY_FILE = "A configuration file manages this workspace. Change it there."

blueprint = Blueprint("settings", __name__, url_prefix="/w/<uuid:workspace_id>/settings")


@blueprint.get("")
@requires("workspace.read")
def show(workspace_id: UUID) -> Response:
    """Show the settings: as a form to those who may change them."""
    workspace = _workspace(workspace_id)
    given = forms.empty(name=workspace.name, timezone=workspace.timezone)
    return render.page(TEMPLATE, block="form", given=given, **_about(workspace))


@blueprint.post("")
@requires("settings.manage")
def save(workspace_id: UUID) -> Response:
    """Change the name and the zone, both or neither."""
    workspace = _workspace(workspace_id)
    if workspace.managed_by == "file":
        abort(409, BY_FILE)
    form = forms.sent()
    with form.refusals():
        workspace_settings.save(workspace_id, name=form.text("name"), timezone=form.text("timezone"))
        return render.done(to=url_for("settings.show", workspace_id=workspace_id), toast="Saved.")
    return render.problem(TEMPLATE, block="form", given=form, **_about(workspace))


def _workspace(workspace_id: UUID) -> Workspace:
    workspace = here().workspace
    assert workspace
    assert workspace.workspace_id == workspace_id
    return workspace


def _about(workspace: Workspace) -> dict[str, Any]:
    """Everything the form shows beside what was typed; the platform keeps its name."""
    fixed_name = workspace.workspace_id == PLATFORM_ID
    return {"workspace": workspace, "zones": sorted(available_timezones()), "fixed_name": fixed_name}
