"""Tokens for an identity provider's provisioning, on the provider's page. A token is in one answer only."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, Response, url_for

from app.auth import scim_tokens
from app.auth.scim_tokens import MadeBefore
from app.console import forms, origin, render
from app.console.guard import here, requires
from app.units import PLATFORM_ID, utc_now

TEMPLATE = "console/provisioning_token.html"

blueprint = Blueprint(
    "provisioning", __name__, url_prefix="/platform/sign-in/<uuid:identity_provider_id>/provisioning-tokens"
)


def init_app(app: Flask) -> None:
    """Let the provider's page show the block `console/provisioning.html`."""
    app.jinja_env.globals["provisioning"] = about


def about(identity_provider_id: UUID) -> dict[str, Any]:
    """Everything the block shows."""
    tokens, new_id = scim_tokens.of(identity_provider_id), str(forms.fresh_id())
    return {"tokens": tokens, "address": origin.absolute("/scim/v2"), "new_id": new_id}


@blueprint.post("")
@requires("platform.manage")
def create(identity_provider_id: UUID) -> Response:
    """Make a token and show it, this once."""
    own = forms.row_id(PLATFORM_ID, forms.sent())
    back = _address(identity_provider_id)
    try:
        made = scim_tokens.create(identity_provider_id, by=here().person.user_id, token_id=own)
    except MadeBefore:
        return render.leave(back, toast="This token was made a moment ago. It was shown then.", tone="info")
    address = origin.absolute("/scim/v2")
    return render.page(TEMPLATE, block="secret", secret=made.secret, address=address, back=back)


@blueprint.post("/<uuid:scim_token_id>/revoke")
@requires("platform.manage")
def revoke(identity_provider_id: UUID, scim_token_id: UUID) -> Response:
    """Stop a token at once."""
    scim_tokens.revoke(identity_provider_id, scim_token_id, now=utc_now())
    return render.leave(_address(identity_provider_id), toast="The token is revoked. Provisioning needs another one.")


def _address(identity_provider_id: UUID) -> str:
    return url_for("identity_providers.show", identity_provider_id=identity_provider_id)
