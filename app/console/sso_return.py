"""Coming back from an identity provider: the sign-in, the test or the linking that the way out was for."""

import logging
import re
from typing import Any
from uuid import UUID

from flask import Response, request, url_for

from app.auth import arrivals, identity_providers, oidc, sign_in
from app.auth.arrivals import AddressTaken
from app.auth.flows import Flow
from app.auth.id_tokens import Refused, Token
from app.auth.identity_providers import IdentityProvider
from app.auth.outbound import Unreachable
from app.console import guard, local_sign_in, origin, render
from app.console.guard import here, here_or_none
from app.logging import audit
from app.units import PLATFORM_ID, utc_now
from app.workspace import invitations
from app.workspace.names import NotFound

TEMPLATE = "console/sso.html"
ACTIONS = {"sign-in": "session.create", "test": "identity_provider.test", "link": "identity.create"}
"""What is refused when a flow of each purpose is."""
INVITATION = re.compile(r"/join/([0-9a-f-]{36})/([\w-]+)")

log = logging.getLogger(__name__)


def come_back(flow: Flow) -> Response:
    """End a flow as it was meant to, or say what is in its way."""
    provider = identity_providers.get(flow.provider_id)
    try:
        _check_still_wanted(provider, flow)
        token = oidc.finish(provider, flow.msal, request.args, now=utc_now())
        return PURPOSES[flow.purpose](provider, token, flow)
    except Refused as refused:
        return _refused(provider, flow, refused.claim, refused.says)
    except AddressTaken as taken:
        return _refused(provider, flow, "email", f"is {taken.email}, which has an account already", taken=taken.email)
    except Unreachable as error:
        log.warning("an identity provider cannot be used", extra=fields(provider, error))
        return _page(provider, flow, view="unreachable", status=503, detail=str(error))


def fields(provider: IdentityProvider, error: Exception) -> dict[str, str]:
    """What the log says of a provider that cannot be used."""
    return {"provider": provider.name, "cause": str(error), "request_id": render.request_id()}


def _check_still_wanted(provider: IdentityProvider, flow: Flow) -> None:
    """Check that nobody has closed this way meanwhile, and that who was signed in still is."""
    if provider.disabled_at and flow.purpose != "test":
        raise Refused("provider", "is disabled here")
    found = here_or_none()
    if flow.purpose == "sign-in":
        return
    if found is None or found.person.user_id != flow.user_id:
        raise Refused("session", "has ended meanwhile, or is somebody else's: sign in first")
    if flow.purpose == "test" and not found.may("platform.manage"):
        raise Refused("session", "is no platform admin's any more")


def _sign_in(provider: IdentityProvider, token: Token, flow: Flow) -> Response:
    now = utc_now()
    person = arrivals.arrive(provider, token, now=now, is_invited=_is_invited(flow.onward, token.email))
    cookie = sign_in.begin(
        person,
        ip=origin.address(),
        user_agent=origin.user_agent(),
        now=now,
        method="sso",
        provider_id=provider.provider_id,
        sid=token.sid,
    )
    return local_sign_in.go_in(cookie, flow.onward)


def _link(provider: IdentityProvider, token: Token, flow: Flow) -> Response:
    arrivals.link(provider, token, here().person, now=utc_now())
    return render.leave(flow.onward, toast=f"You can sign in with {provider.name} from now on.")


def _test(provider: IdentityProvider, token: Token, flow: Flow) -> Response:
    """Show what a sign-in would do. It counts as a test when it would let somebody in."""
    assert flow.user_id
    now = utc_now()
    outlook = arrivals.outlook(provider, token, now=now)
    if outlook.refused:
        reason = outlook.refused
        audit.refused(PLATFORM_ID, ACTIONS["test"], **_object(provider), reason=reason)
    else:
        identity_providers.tested(provider.provider_id, flow.user_id, now=now)
    return render.page(TEMPLATE, view="tested", provider=provider, token=token, outlook=outlook)


PURPOSES = {"sign-in": _sign_in, "test": _test, "link": _link}


def _is_invited(onward: str, email: str | None) -> bool:
    """Tell whether somebody is on his way to accept an invitation to his own address."""
    found = INVITATION.fullmatch(onward)
    if not (found and email):
        return False
    try:
        invitation = invitations.find(UUID(found[1]), found[2], now=utc_now())
    except (NotFound, ValueError):
        return False
    return invitation.accepted_at is None and invitation.email == invitations.normal_email(email)


def _refused(provider: IdentityProvider, flow: Flow, claim: str, says: str, *, taken: str | None = None) -> Response:
    """Say which claim is wrong, to the person and to the audit trail."""
    if guard.room_for_a_note():
        audit.refused(PLATFORM_ID, ACTIONS[flow.purpose], **_object(provider), reason=f"{claim} {says}")
    return _page(provider, flow, view="refused", status=403, claim=claim, says=says, taken=taken)


def _page(provider: IdentityProvider, flow: Flow, *, view: str, status: int, **values: Any) -> Response:
    again = {
        "sign-in": url_for("sso.begin", identity_provider_id=provider.provider_id, next=flow.onward),
        "test": url_for("identity_providers.test", identity_provider_id=provider.provider_id),
        "link": url_for("sso.link", identity_provider_id=provider.provider_id),
    }[flow.purpose]
    back = {"sign-in": url_for("sign_in.show", next=flow.onward), "link": "/account"}.get(
        flow.purpose, url_for("identity_providers.show", identity_provider_id=provider.provider_id)
    )
    about: dict[str, Any] = {
        "provider": provider,
        "purpose": flow.purpose,
        "again": again,
        "back": back,
        "now": utc_now(),
    }
    return render.page(TEMPLATE, view=view, status=status, **about | values)


def _object(provider: IdentityProvider) -> dict[str, Any]:
    return {"kind": "identity_provider", "id": provider.provider_id, "name": provider.name}
