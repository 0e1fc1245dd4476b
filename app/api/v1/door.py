"""The door of the management API: a management key, from where, how often, and who acts. Every view has `managed`."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import UUID

from flask import Blueprint, Response, g, request
from redis.exceptions import RedisError

from app import hosts
from app.api.v1 import answers
from app.auth import management_keys
from app.auth.management_keys import Holder, OtherKind
from app.errors import BadRequest, NetworkNotAllowed, NotAllowed, NotAuthenticated, RateLimited
from app.extensions import redis
from app.logging import audit
from app.units import utc_now
from app.workspace import workspaces
from app.workspace.workspaces import Workspace

MOST_PER_MIN = 600
"""Requests of one key."""

View = TypeVar("View", bound=Callable[..., Any])

log = logging.getLogger(__name__)
blueprint = Blueprint("management", __name__, url_prefix="/api/v1")


def managed(view: View) -> View:
    """Let a view be asked by those who show a management key, and act as that key while it runs.

    What a view answers with streams on after this has ended: what it records, it records before.
    """

    @wraps(view)
    def guarded(**arguments: Any) -> Response:
        try:
            holder = _holder()
            with audit.acting(_actor(holder)):
                _count(holder)
                return answers.marked(cast(Response, view(**arguments)))
        except Exception as error:  # noqa: BLE001 - the outermost edge: all of it becomes an answer
            return answers.refusal(error)

    guarded.managed = True  # type: ignore[attr-defined]
    return cast(View, guarded)


def workspace() -> Workspace:
    """Find the workspace that the running request is about: the key's own, or the one that the platform's key names.

    `workspace` in the address is an id or a name. Raises `NotFound` for one that the key does not reach, as for none.
    """
    holder, asked = cast(Holder, g.management_key), request.args.get("workspace", "").strip()
    if not holder.is_platforms:
        own = workspaces.get(holder.workspace_id)
        if asked and asked not in (own.name, str(own.workspace_id)):
            raise answers.Absent(f"There is no workspace {asked!r}.", param="workspace")
        return own
    if not asked:
        raise BadRequest("A key of the platform must say which workspace: 'workspace' is missing.", param="workspace")
    return _named(asked)


def _named(asked: str) -> Workspace:
    """Find a workspace by its id or its name."""
    try:
        return workspaces.get(UUID(asked))
    except ValueError:
        found = workspaces.by_name(asked)
    if found is None:
        raise answers.Absent(f"There is no workspace {asked!r}.", param="workspace")
    return found


def _holder() -> Holder:
    """Find who comes; raise `NotAuthenticated`, `NotAllowed` for a key that calls models, or `NetworkNotAllowed`."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    try:
        holder = management_keys.find(secret.strip(), now=utc_now()) if scheme.lower() == "bearer" else None
    except OtherKind as error:
        raise NotAllowed("This API key is for calls to models. The management API needs a management key.") from error
    address = hosts.client_address()
    if holder is None:
        log.warning("the management API without a valid key", extra={"request_id": answers.request_id(), "ip": address})
        raise NotAuthenticated("A management key is needed: Authorization: Bearer <key>.")
    if holder.networks and not holder.networks.hold(address):
        raise NetworkNotAllowed(f"This key may not be used from {address}. Its workspace allows certain networks only.")
    g.management_key = holder
    return holder


def _count(holder: Holder) -> None:
    """Raise `RateLimited` over the limit. It is counted in Redis, so by all processes; without Redis nobody is."""
    now = utc_now()
    name = f"gateway:management:{holder.key_id}:{now:%H%M}"
    with suppress(RedisError):
        with redis().pipeline(transaction=False) as pipeline:
            pipeline.incr(name)
            pipeline.expire(name, 120)
            count, _ = pipeline.execute()
        if count > MOST_PER_MIN:
            wait_s = 60 - now.second
            said = f"More than {MOST_PER_MIN} requests within a minute."
            raise RateLimited(said, limit=MOST_PER_MIN, reset_s=wait_s, retry_after_s=wait_s)


def _actor(holder: Holder) -> audit.Actor:
    return audit.Actor(
        kind="key",
        id=str(holder.key_id),
        name=f"{holder.name} …{holder.last4}",
        role="platform management" if holder.is_platforms else "management",
        ip=hosts.client_address(),
        user_agent=request.headers.get("User-Agent", ""),
        request_id=answers.request_id(),
    )
