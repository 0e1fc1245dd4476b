"""Mappings of a workspace: which app role or group of the directory gives which role here."""

from uuid import UUID

from flask import Blueprint, Response

from app.console import mapping_pages
from app.console.guard import requires

blueprint = Blueprint("mappings", __name__, url_prefix="/w/<uuid:workspace_id>/mappings")


@blueprint.get("")
@requires("mappings.read")
def index(workspace_id: UUID) -> Response:
    """List them."""
    return mapping_pages.index(workspace_id)


@blueprint.get("/new")
@requires("mappings.manage")
def new(workspace_id: UUID) -> Response:
    """Show the form."""
    return mapping_pages.new(workspace_id)


@blueprint.get("/new/dry-run")
@requires("mappings.manage")
def preview_new(workspace_id: UUID) -> Response:
    """Show who would gain or lose what by a new mapping."""
    return mapping_pages.preview(workspace_id)


@blueprint.post("/new")
@requires("mappings.manage")
def create(workspace_id: UUID) -> Response:
    """Save a new mapping that was seen as a dry run."""
    return mapping_pages.save(workspace_id)


@blueprint.get("/<uuid:mapping_id>")
@requires("mappings.manage")
def show(workspace_id: UUID, mapping_id: UUID) -> Response:
    """Show a mapping's form."""
    return mapping_pages.show(workspace_id, mapping_id)


@blueprint.get("/<uuid:mapping_id>/dry-run")
@requires("mappings.manage")
def preview(workspace_id: UUID, mapping_id: UUID) -> Response:
    """Show who would gain or lose what by the change of a mapping."""
    return mapping_pages.preview(workspace_id, mapping_id)


@blueprint.post("/<uuid:mapping_id>")
@requires("mappings.manage")
def edit(workspace_id: UUID, mapping_id: UUID) -> Response:
    """Save the change that was seen as a dry run."""
    return mapping_pages.save(workspace_id, mapping_id)


@blueprint.get("/<uuid:mapping_id>/remove")
@requires("mappings.manage")
def confirm_removal(workspace_id: UUID, mapping_id: UUID) -> Response:
    """Show who would lose what without a mapping."""
    return mapping_pages.confirm_removal(workspace_id, mapping_id)


@blueprint.post("/<uuid:mapping_id>/remove")
@requires("mappings.manage")
def remove(workspace_id: UUID, mapping_id: UUID) -> Response:
    """Take a mapping away."""
    return mapping_pages.remove(workspace_id, mapping_id)
