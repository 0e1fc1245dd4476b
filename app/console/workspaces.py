"""Workspaces: the start page that leads into one, the list, making one, closing one. Name and zone are its settings."""

from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from flask import Blueprint, Response, abort, url_for

from app.application import closing, keys
from app.auth import permissions
from app.console import forms, render
from app.console.guard import here, requires
from app.units import PLATFORM_ID, utc_now
from app.workspace import members, pages, workspaces
from app.workspace.members import Place
from app.workspace.workspaces import Workspace

TEMPLATE = "console/workspaces.html"
BY_FILE = "A configuration file manages this workspace. Change it there."

blueprint = Blueprint("workspaces", __name__)


@blueprint.get("/")
@requires("console.enter")
def start() -> Response:
    """Go to the overview of the person's first workspace; without one, to the list."""
    places = members.places_of(here().person.user_id)
    first = next((one.workspace for one in places if not one.workspace.archived_at), None)
    return render.leave(_overview(first.workspace_id) if first else url_for("workspaces.index"))


@blueprint.get("/workspaces")
@requires("console.enter")
def index() -> Response:
    """List the workspaces that the person may enter: his own, or all of them for those who look after the platform."""
    search, after, archived = forms.asked("q"), forms.asked("after"), forms.asked("state") == "archived"
    found = _found(search=search, after=after or None, archived=archived)
    about: dict[str, Any] = {"search": search, "after": after, "archived": archived, "may_manage": _may_manage}
    return render.page(TEMPLATE, block="rows", view="list", found=found, platform_id=PLATFORM_ID, **about)


@blueprint.get("/workspaces/new")
@requires("workspaces.create")
def new() -> Response:
    """Show the empty form."""
    given = forms.empty(new_id=str(forms.fresh_id()), timezone="UTC")
    return render.page(TEMPLATE, block="form", view="new", given=given, zones=sorted(available_timezones()))


@blueprint.post("/workspaces")
@requires("workspaces.create")
def create() -> Response:
    """Make a workspace and go into it. The same form sent twice makes one."""
    form = forms.sent()
    own = forms.row_id(PLATFORM_ID, form)
    with form.refusals():
        made = workspaces.create(form.text("name"), timezone=form.text("timezone"), workspace_id=own)
        return render.leave(_overview(made), toast="The workspace is made.")
    return render.problem(TEMPLATE, block="form", view="new", given=form, zones=sorted(available_timezones()))


@blueprint.get("/w/<uuid:workspace_id>/archive")
@requires("workspace.manage")
def confirm_archive(workspace_id: UUID) -> Response:
    """Say what stops working."""
    return render.page(TEMPLATE, block="archive", view="archive", given=forms.empty(), **_closing(workspace_id))


@blueprint.post("/w/<uuid:workspace_id>/archive")
@requires("workspace.manage")
def archive(workspace_id: UUID) -> Response:
    """Close the workspace, once its name was typed."""
    workspace, form = _changeable(workspace_id), forms.sent()
    if form.text("confirm") != workspace.name:
        form.problems["confirm"] = "is not the name of this workspace"
    with form.refusals():
        if not form.problems:
            if not workspace.archived_at:
                closing.archive(workspace_id, now=utc_now())
            return render.leave(url_for("workspaces.index"), toast="The workspace is archived. Its keys are stopped.")
    return render.problem(TEMPLATE, block="archive", view="archive", given=form, **_closing(workspace_id))


@blueprint.post("/w/<uuid:workspace_id>/restore")
@requires("workspace.manage")
def restore(workspace_id: UUID) -> Response:
    """Open an archived workspace again."""
    if _changeable(workspace_id).archived_at:
        closing.restore(workspace_id)
    return render.leave(_overview(workspace_id), toast="The workspace is open again. Its keys work within a second.")


def _found(*, search: str, after: str | None, archived: bool) -> pages.Page[Place]:
    person = here().person
    if here().may("platform.read"):
        role = "owner" if person.platform_role == "admin" else person.platform_role
        found = workspaces.page(search=search, after=after, archived=archived)
        return pages.Page([Place(one, role) for one in found.items], found.after)
    places = [one for one in members.places_of(person.user_id) if bool(one.workspace.archived_at) == archived]
    wanted = [one for one in places if search.casefold() in one.workspace.name.casefold()]
    return pages.cut([one for one in wanted if not after or one.workspace.name > after], lambda one: one.workspace.name)


def _may_manage(place: Place) -> bool:
    """Tell whether the list offers to close or open a workspace; its route asks again."""
    fixed = place.workspace.workspace_id == PLATFORM_ID or place.workspace.managed_by == "file"
    roles = permissions.roles_of(here().person.platform_role, place.role, in_workspace=True)
    return not fixed and permissions.allows(roles, "workspace.manage")


def _changeable(workspace_id: UUID) -> Workspace:
    workspace = workspaces.get(workspace_id)
    if workspace.managed_by == "file":
        abort(409, BY_FILE)
    return workspace


def _closing(workspace_id: UUID) -> dict[str, Any]:
    workspace = _changeable(workspace_id)
    active = sum(key.state == "active" for key in keys.all_of(workspace_id))
    return {"workspace": workspace, "active_keys": active}


def _overview(workspace_id: UUID) -> str:
    return f"/w/{workspace_id}/"
