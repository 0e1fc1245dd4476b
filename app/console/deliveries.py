"""The delivery log: what was sent to which channel, what came back, and sending it once more."""

from uuid import UUID

from flask import Blueprint, Response, url_for

from app.console import forms, render
from app.console.guard import requires
from app.units import utc_now
from app.workspace import channels, deliveries
from app.workspace.names import Invalid

TEMPLATE = "console/deliveries.html"

blueprint = Blueprint("deliveries", __name__, url_prefix="/w/<uuid:workspace_id>/deliveries")


@blueprint.get("")
@requires("channels.read")
def index(workspace_id: UUID) -> Response:
    """List the deliveries that the filter leaves, the newest first."""
    state = forms.asked("state")
    state = state if state in deliveries.STATES else ""
    channel_id, after = _id("channel"), _id("after")
    found = deliveries.page(workspace_id, state=state or None, channel_id=channel_id, after=after)
    asked = {"workspace_id": workspace_id, "state": state or None, "channel": channel_id}
    named = channels.all_of(workspace_id)
    return render.page(TEMPLATE, block="rows", found=found, asked=asked, after=after, channels=named, now=utc_now())


@blueprint.post("/<uuid:delivery_id>/replay")
@requires("channels.manage")
def replay(workspace_id: UUID, delivery_id: UUID) -> Response:
    """Send a delivery once more."""
    back = url_for("deliveries.index", workspace_id=workspace_id)
    try:
        deliveries.replay(workspace_id, delivery_id, now=utc_now())
    except Invalid as refused:
        return render.leave(back, toast=f"The delivery {refused.problem}.", tone="info")
    return render.leave(back, toast="It is on its way once more.")


def _id(name: str) -> UUID | None:
    """Read an id of the address; what is none counts as not given."""
    try:
        return UUID(forms.asked(name))
    except ValueError:
        return None
