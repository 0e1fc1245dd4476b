"""Mappings of the platform: which app role or group of the directory makes somebody its admin or its auditor."""

from uuid import UUID

from flask import Blueprint, Response

from app.console import mapping_pages
from app.console.guard import requires
from app.units import PLATFORM_ID

blueprint = Blueprint("platform_mappings", __name__, url_prefix="/platform/mappings")


@blueprint.get("")
@requires("platform.read")
def index() -> Response:
    """List them."""
    return mapping_pages.index(PLATFORM_ID)


@blueprint.get("/new")
@requires("platform.manage")
def new() -> Response:
    """Show the form."""
    return mapping_pages.new(PLATFORM_ID)


@blueprint.get("/new/dry-run")
@requires("platform.manage")
def preview_new() -> Response:
    """Show who would gain or lose what by a new mapping."""
    return mapping_pages.preview(PLATFORM_ID)


@blueprint.post("/new")
@requires("platform.manage")
def create() -> Response:
    """Save a new mapping that was seen as a dry run."""
    return mapping_pages.save(PLATFORM_ID)


@blueprint.get("/<uuid:platform_mapping_id>")
@requires("platform.manage")
def show(platform_mapping_id: UUID) -> Response:
    """Show a mapping's form."""
    return mapping_pages.show(PLATFORM_ID, platform_mapping_id)


@blueprint.get("/<uuid:platform_mapping_id>/dry-run")
@requires("platform.manage")
def preview(platform_mapping_id: UUID) -> Response:
    """Show who would gain or lose what by the change of a mapping."""
    return mapping_pages.preview(PLATFORM_ID, platform_mapping_id)


@blueprint.post("/<uuid:platform_mapping_id>")
@requires("platform.manage")
def edit(platform_mapping_id: UUID) -> Response:
    """Save the change that was seen as a dry run."""
    return mapping_pages.save(PLATFORM_ID, platform_mapping_id)


@blueprint.get("/<uuid:platform_mapping_id>/remove")
@requires("platform.manage")
def confirm_removal(platform_mapping_id: UUID) -> Response:
    """Show who would lose what without a mapping."""
    return mapping_pages.confirm_removal(PLATFORM_ID, platform_mapping_id)


@blueprint.post("/<uuid:platform_mapping_id>/remove")
@requires("platform.manage")
def remove(platform_mapping_id: UUID) -> Response:
    """Take a mapping away."""
    return mapping_pages.remove(PLATFORM_ID, platform_mapping_id)
