"""Settings of a workspace: its name, the time zone of its days and months, and where it may be used from."""

from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from flask import Blueprint, Response, abort, url_for

from app.application import workspace_settings
from app.console import forms, origin, render
from app.console.forms import Form
from app.console.guard import here, requires
from app.networks import NO_NETWORKS, Networks
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
    return render.page(TEMPLATE, block="form", given=_stored(workspace), **_about(workspace))


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


@blueprint.post("/networks")
@requires("settings.manage")
def save_networks(workspace_id: UUID) -> Response:
    """Say where the workspace may be used from. Who would lock himself out has to type its name."""
    workspace, form = _workspace(workspace_id), forms.sent()
    networks, mine = _networks(form), origin.address()
    locked_out = bool(networks) and not networks.hold(mine)
    if locked_out and form.text("confirm") != workspace.name:
        form.problems["confirm"] = "is not the name of this workspace" if form.text("confirm") else "is missing"
    if not form.problems:
        with form.refusals():
            workspace_settings.save_networks(workspace_id, networks)
            said = "Saved. Proxies know within a second."
            return render.done(to=url_for("settings.show", workspace_id=workspace_id), toast=said)
    about = _about(workspace) | {"typed": form, "locked_out": mine if locked_out else None}
    return render.problem(TEMPLATE, block="form", given=_stored(workspace), **about)


def _networks(form: Form) -> Networks:
    """Read the networks, separated by line ends, commas or spaces."""
    try:
        return Networks.of(form.text("networks").replace(",", " ").split())
    except ValueError as error:
        form.problems["networks"] = str(error)
        return NO_NETWORKS


def _stored(workspace: Workspace) -> Form:
    lines = "\n".join(workspace.networks.texts())
    return forms.empty(name=workspace.name, timezone=workspace.timezone, networks=lines)


def _workspace(workspace_id: UUID) -> Workspace:
    workspace = here().workspace
    assert workspace
    assert workspace.workspace_id == workspace_id
    return workspace


def _about(workspace: Workspace) -> dict[str, Any]:
    """Everything the form shows beside what was typed; the platform keeps its name."""
    fixed_name = workspace.workspace_id == PLATFORM_ID
    about = {"workspace": workspace, "zones": sorted(available_timezones()), "fixed_name": fixed_name}
    return about | {"typed": _stored(workspace), "locked_out": None, "client_address": origin.address()}
