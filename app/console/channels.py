"""Channels of a workspace: where alerts go, a test of each, and the log of what was delivered."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, url_for

from app.console import forms, render
from app.console.forms import Form
from app.console.guard import here, requires
from app.extensions import settings
from app.workspace import channels
from app.workspace.channels import Channel, Wish
from app.workspace.names import Invalid

TEMPLATE = "console/channels.html"
KINDS = {"email": "E-mail", "webhook": "Webhook", "slack": "Slack", "teams": "Microsoft Teams"}
EVENTS = {"budget": "A budget reaches one of its thresholds"}

blueprint = Blueprint("channels", __name__, url_prefix="/w/<uuid:workspace_id>/channels")


@blueprint.get("")
@requires("channels.read")
def index(workspace_id: UUID) -> Response:
    """List the channels."""
    return render.page(TEMPLATE, block="rows", view="list", found=channels.all_of(workspace_id), **_words())


@blueprint.get("/new")
@requires("channels.manage")
def new(workspace_id: UUID) -> Response:  # noqa: ARG001  # the guard has read it
    """Show the empty form of a kind of channel."""
    kind = forms.asked("kind")
    kind = kind if kind in KINDS else "email"
    given = forms.empty(new_id=str(forms.fresh_id()), kind=kind, events=list(EVENTS), enabled="yes")
    return render.page(TEMPLATE, block="form", view="form", given=given, kind=kind, **_words())


@blueprint.post("")
@requires("channels.manage")
def create(workspace_id: UUID) -> Response:
    """Create a channel; a webhook's secret is shown, this once."""
    form = forms.sent()
    channel_id = forms.row_id(workspace_id, form)
    kind = form.text("kind")
    with form.refusals():
        secret = channels.create(workspace_id, kind, _wish(form), channel_id=channel_id, by=here().person.user_id)
        if secret:
            return _show_secret(workspace_id, channel_id, secret)
        return render.done(to=_address(workspace_id, channel_id), toast="Send a test to see that it works.")
    return render.problem(TEMPLATE, block="form", view="form", given=form, kind=kind, **_words())


@blueprint.get("/<uuid:channel_id>")
@requires("channels.manage")
def show(workspace_id: UUID, channel_id: UUID) -> Response:
    """Show a channel's form."""
    channel = channels.get(workspace_id, channel_id)
    return render.page(TEMPLATE, block="form", view="form", given=_filled(channel), **_about(channel))


@blueprint.post("/<uuid:channel_id>")
@requires("channels.manage")
def edit(workspace_id: UUID, channel_id: UUID) -> Response:
    """Change a channel."""
    channel = channels.get(workspace_id, channel_id)
    form = forms.sent()
    with form.refusals():
        channels.edit(workspace_id, channel_id, _wish(form))
        return render.done(to=_address(workspace_id, channel_id), toast="Saved.")
    return render.problem(TEMPLATE, block="form", view="form", given=form, **_about(channel))


@blueprint.post("/<uuid:channel_id>/test")
@requires("channels.manage")
def test(workspace_id: UUID, channel_id: UUID) -> Response:
    """Send a test message; the log says whether it arrived."""
    try:
        channels.test(workspace_id, channel_id)
    except Invalid as refused:
        return render.leave(_address(workspace_id, channel_id), toast=f"The channel {refused.problem}.", tone="warning")
    to = url_for("deliveries.index", workspace_id=workspace_id, channel=channel_id)
    return render.leave(to, toast="A test message is on its way.")


@blueprint.post("/<uuid:channel_id>/secret")
@requires("channels.manage")
def renew_secret(workspace_id: UUID, channel_id: UUID) -> Response:
    """Give a webhook another secret, and show it, this once."""
    return _show_secret(workspace_id, channel_id, channels.renew_secret(workspace_id, channel_id))


@blueprint.post("/<uuid:channel_id>/remove")
@requires("channels.manage")
def remove(workspace_id: UUID, channel_id: UUID) -> Response:
    """Take a channel away."""
    channels.remove(workspace_id, channel_id)
    return render.leave(url_for("channels.index", workspace_id=workspace_id), toast="The channel was deleted.")


def _show_secret(workspace_id: UUID, channel_id: UUID, secret: str) -> Response:
    back = _address(workspace_id, channel_id)
    return render.page(TEMPLATE, block="secret", view="secret", secret=secret, back=back)


def _wish(form: Form) -> Wish:
    events = tuple(form.values.getlist("events"))
    enabled = form.text("enabled") == "yes"
    return Wish(name=form.text("name"), target=form.text("target"), events=events, enabled=enabled)


def _filled(channel: Channel) -> Form:
    return forms.empty(
        name=channel.name,
        target="" if channel.is_target_secret else channel.target,
        events=list(channel.events),
        enabled="yes" if channel.enabled else "",
    )


def _about(channel: Channel) -> dict[str, Any]:
    return _words() | {"channel": channel, "kind": channel.kind}


def _words() -> dict[str, Any]:
    return {"kinds": KINDS, "events": EVENTS, "has_mail": bool(settings().smtp_url)}


def _address(workspace_id: UUID, channel_id: UUID) -> str:
    return url_for("channels.show", workspace_id=workspace_id, channel_id=channel_id)
