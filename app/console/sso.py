"""Signing in at an identity provider, and out there: the ways to it and back. No page but for what went wrong.

The way back is the same for a sign-in, a test of a provider and the linking of an identity; which of them it is stands
in the flow, a sealed cookie that this browser got on the way out.
"""

import logging
from uuid import UUID

from flask import Blueprint, Response, abort, request, url_for

from app.auth import flows, identity_providers, oidc, sessions
from app.auth.flows import Flow
from app.auth.identity_providers import IdentityProvider
from app.auth.outbound import Unreachable
from app.console import origin, render, sso_return
from app.console.guard import here_or_none, open_to_all, requires
from app.units import utc_now

TEMPLATE = sso_return.TEMPLATE
COOKIE = "gateway_flow"

log = logging.getLogger(__name__)
blueprint = Blueprint("sso", __name__)


@blueprint.get("/sign-in/with/<uuid:identity_provider_id>")
@open_to_all
def begin(identity_provider_id: UUID) -> Response:
    """Send somebody to sign in; who is signed in goes on to where he wanted to."""
    onward = origin.own_path(request.args.get("next", ""))
    if here_or_none():
        return render.leave(onward)
    provider = identity_providers.find(identity_provider_id) or abort(404)
    return send_away(provider, "sign-in", onward=onward, otherwise=onward)  # from where the guard leads to the form


@blueprint.get("/account/identities/link/<uuid:identity_provider_id>")
@requires("console.enter")
def link(identity_provider_id: UUID) -> Response:
    """Send somebody to sign in, so that he may come by that identity from then on; from a page of ours alone.

    Another site could have signed him in at the provider as somebody else before.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        abort(403, "Another site has sent you here. Begin on the page Account.")
    provider = identity_providers.find(identity_provider_id) or abort(404)
    return send_away(provider, "link", onward="/account", otherwise="/account")


@blueprint.get("/sign-in/callback")
@open_to_all
def callback() -> Response:
    """Take somebody back from where he signed in. What he brings is good once, in the browser that was sent there."""
    flow = flows.opened(request.cookies.get(COOKIE, ""), now=utc_now())
    response = sso_return.come_back(flow) if flow else render.page(TEMPLATE, view="forgotten", status=400)
    response.delete_cookie(COOKIE, path="/sign-in", httponly=True, samesite="Lax", secure=origin.is_https())
    return response


@blueprint.get("/sign-out/with/<uuid:identity_provider_id>")
@open_to_all
def leave(identity_provider_id: UUID) -> Response:
    """Lead somebody who has signed out here to the provider's own sign-out.

    It is a page that leads on by itself: from the form that signs out, the policy lets no redirect leave the site.
    """
    provider = identity_providers.find(identity_provider_id)
    back = origin.absolute(url_for("sign_in.show"))
    to = oidc.sign_out_address(provider, back=back) if provider else None
    return render.page(TEMPLATE, view="leaving", provider=provider, to=to) if to else render.leave(origin.HOME)


@blueprint.get("/sign-out/front-channel")
@open_to_all
def front_channel() -> Response:
    """End what began with a session that has ended at the provider, which opens this address in a hidden frame.

    No cookie comes along: `sid`, which the provider alone knows besides us, names the session.
    """
    issuer, sid = request.args.get("iss", ""), request.args.get("sid", "")
    for provider in identity_providers.of_all():
        if sid and issuer.rstrip("/") in provider.issuers:
            sessions.end_by_sid(provider.provider_id, sid)
    return Response("", 200)


def send_away(provider: IdentityProvider, purpose: str, *, onward: str, otherwise: str) -> Response:
    """Send the browser to a provider with a flow to come back with; to a page of ours when the provider is away."""
    try:
        address, flow = oidc.begin(provider, redirect_uri=origin.absolute(url_for("sso.callback")))
    except Unreachable as error:
        log.warning("an identity provider cannot be used", extra=sso_return.fields(provider, error))
        detail = f": {error}" if purpose == "test" else ". Try again in a moment."
        return render.leave(otherwise, toast=f"{provider.name} cannot be reached{detail}"[:1_000], tone="error")
    found = here_or_none()
    kept = Flow(
        provider_id=provider.provider_id,
        purpose=purpose,
        onward=onward,
        user_id=found.person.user_id if found else None,
        msal=flow,
    )
    response = Response("", 303, {"Location": address})
    life_s = int(flows.LIFE.total_seconds())
    response.set_cookie(
        COOKIE,
        flows.seal(kept, now=utc_now()),
        max_age=life_s,
        path="/sign-in",
        httponly=True,
        samesite="Lax",
        secure=origin.is_https(),
    )
    return response


def after_sign_out(session_cookie: str) -> str:
    """Tell where somebody goes who signs out: to the provider's sign-out when his session began there."""
    provider_id = sessions.provider_of(session_cookie)
    return url_for("sso.leave", identity_provider_id=provider_id) if provider_id else origin.HOME
