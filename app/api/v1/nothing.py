"""Every other address of the management API: answered in JSON, and only to those who may ask."""

from flask import Response

from app.api.v1.door import blueprint, managed
from app.errors import RouteNotFound

EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@blueprint.route("/", methods=EVERY_METHOD)
@blueprint.route("/<path:rest>", methods=EVERY_METHOD)
@managed
def here(rest: str = "") -> Response:
    """Say that there is nothing."""
    raise RouteNotFound(f"There is nothing at /api/v1/{rest}. See the gateway's documentation.")
