"""The door of provisioning: a token, how often, how much at once, and who acts. Every view has `provisioning`."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec
from flask import Blueprint, Response, g, request
from redis.exceptions import RedisError
from werkzeug.exceptions import RequestEntityTooLarge

from app import hosts
from app.api.scim import answers
from app.api.scim.answers import Refused
from app.auth import scim_tokens
from app.auth.scim_tokens import Visitor
from app.extensions import redis
from app.logging import audit
from app.units import PLATFORM_ID, utc_now

LARGEST_BYTES = 1024 * 1024
MOST_PER_MIN = 3_000
"""Requests of one token: twice what Microsoft asks of such an address, which is 25 a second."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REFUSED = frozenset({400, 403, 404, 409, 413, 500})

View = TypeVar("View", bound=Callable[..., Any])

log = logging.getLogger(__name__)
blueprint = Blueprint("scim", __name__, url_prefix="/scim/v2")


def provisioning(view: View) -> View:
    """Let a view be asked by those who show a token, and act as that token while it runs."""

    @wraps(view)
    def guarded(**arguments: Any) -> Response:
        visitor = _visitor()
        with audit.acting(_actor(visitor)):
            try:
                _count(visitor)
                response = cast(Response, view(**arguments))
            except Exception as error:  # noqa: BLE001 - the outermost edge: all of it becomes an answer
                response = answers.refusal(error)
                _note(response, arguments)
        return response

    guarded.provisioning = True  # type: ignore[attr-defined]
    return cast(View, guarded)


def provider_id() -> UUID:
    """Whose people the running request is about."""
    return cast(UUID, g.scim_provider_id)


def body() -> dict[str, Any]:
    """Read the request's JSON object."""
    try:
        given = msgspec.json.decode(_bytes())
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(400, "The body is no JSON.", kind="invalidSyntax") from error
    if not isinstance(given, dict):
        raise Refused(400, "The body must be a JSON object.", kind="invalidSyntax")
    return given


def _bytes() -> bytes:
    """Read the body; raise `Refused` for a large one."""
    # One more, since Werkzeug cuts a body that announces no length where it is too long, and says nothing.
    request.max_content_length = LARGEST_BYTES + 1
    try:
        raw = request.get_data(cache=False)
        if len(raw) <= LARGEST_BYTES:
            return raw
    except RequestEntityTooLarge:
        pass
    raise Refused(413, f"The body is larger than {LARGEST_BYTES // 1024} KiB.")


def _visitor() -> Visitor:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    visitor = scim_tokens.find(secret.strip(), now=utc_now()) if scheme.lower() == "bearer" else None
    if visitor is None:
        log.warning(
            "provisioning without a valid token",
            extra={"request_id": answers.request_id(), "ip": hosts.client_address()},
        )
        raise Refused(401, "A token of provisioning is needed: Authorization: Bearer <token>.")
    g.scim_provider_id = visitor.provider_id
    return visitor


def _count(visitor: Visitor) -> None:
    """Raise `Refused` over the limit. It is counted in Redis, so by all processes; without Redis nobody is."""
    now = utc_now()
    name = f"gateway:scim:{visitor.token_id}:{now:%H%M}"
    with suppress(RedisError):
        with redis().pipeline(transaction=False) as pipeline:
            pipeline.incr(name)
            pipeline.expire(name, 120)
            count, _ = pipeline.execute()
        if count > MOST_PER_MIN:
            wait_s = 60 - now.second
            raise Refused(429, f"More than {MOST_PER_MIN} requests within a minute.", retry_after_s=wait_s)


def _actor(visitor: Visitor) -> audit.Actor:
    return audit.Actor(
        kind="key",
        id=str(visitor.token_id),
        name=f"SCIM token …{visitor.last4}",
        ip=hosts.client_address(),
        user_agent=request.headers.get("User-Agent", ""),
        request_id=answers.request_id(),
    )


def _note(response: Response, arguments: dict[str, Any]) -> None:
    """Write down that a change was refused."""
    if request.method in SAFE_METHODS or response.status_code not in REFUSED:
        return
    kind = "group" if "group_id" in arguments or request.path.endswith("/Groups") else "person"
    about = next((str(value) for name, value in arguments.items() if name.endswith("_id")), "")
    said = msgspec.json.decode(response.get_data())["detail"]
    outcome = "failed" if response.status_code >= 500 else "refused"
    verb = (request.endpoint or "").partition(".")[2]
    audit.refused(PLATFORM_ID, f"scim.{verb}", kind=kind, id=about, reason=said, outcome=outcome)
