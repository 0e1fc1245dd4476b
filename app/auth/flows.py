"""A sign-in that is under way at an identity provider. Its browser keeps it, sealed, for ten minutes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.auth import tickets

LIFE = timedelta(minutes=10)
CONTEXT = b"sign-in flow"
LONGEST_ONWARD = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What is being done and for whom. `purpose` is sign-in, test or link; the latter two are somebody's, signed in."""

    provider_id: UUID
    purpose: str
    onward: str
    user_id: UUID | None
    msal: Mapping[str, Any]


def seal(flow: Flow, *, now: datetime) -> str:
    """Write a flow as a cookie holds it."""
    onward = flow.onward if len(flow.onward) <= LONGEST_ONWARD else "/"
    return tickets.seal(asdict(flow) | {"onward": onward}, CONTEXT, now=now)


def opened(cookie: str, *, now: datetime) -> Flow | None:
    """Read a flow; None when there is none, it is not ours, or its time is over."""
    values = tickets.opened(cookie, CONTEXT, life=LIFE, now=now)
    if values is None:
        return None
    user_id = UUID(values["user_id"]) if values["user_id"] else None
    return Flow(**values | {"provider_id": UUID(values["provider_id"]), "user_id": user_id})
