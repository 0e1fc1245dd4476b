"""The values of one proxied call: what came in, what goes out, and what is known on the way."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.auth.callers import Caller
from app.billing.events import CLIENT_GONE
from app.gateway.upstream import Exchange
from app.model.catalogue import Alias, Target
from app.units import Usd
from app.wire.usage import Usage


@dataclass(frozen=True, slots=True)
class Inbound:
    """A request as a face hands it over. `socket` is the client's connection, to see it leave.

    `read` gives the whole body, or raises: nobody sends one before it is known who asks.
    """

    token: bytes
    client_address: Callable[[], str]
    read: Callable[[], bytes]
    socket: Any
    client_request_id: str | None


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Answer:
    """What a face sends. `close` must run exactly when the response is closed, also unread."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Iterable[bytes]
    close: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class RateState:
    """A request limit after this call was charged; `reset_s` until it is full again."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(slots=True, eq=False)
class Call:
    """One call on the line. The steps fill it in; after the end, `settle` reads it once."""

    event_id: UUID
    id_text: str
    inbound: Inbound
    caller: Caller
    alias: Alias
    body: dict[str, Any]
    stream: bool
    wants_usage: bool
    prompt_bytes: int
    started: float = field(default_factory=time.monotonic)
    target: Target | None = None
    budget: str | None = None
    """The budget that sent the call to another model than it asked for."""
    rate: RateState | None = None
    exchange: Exchange | None = None
    attempts: int = 0
    first_byte_s: float | None = None
    outcome: str = CLIENT_GONE
    error_code: str | None = None
    status: int = 0
    delivered: bool = False
    usage: Callable[[], Usage | None] = lambda: None
    text_bytes: Callable[[], int] = lambda: 0
    cost_usd: Usd | None = None
    settled: bool = False
