"""The usage event: what the line settles and the ledger ingests, one per call; and counts of the calls that it refused.

They travel as JSON in the fields `e` and `r` of a bucket's stream `{bNN}:usage`. Producer and consumer may
be of different releases during an upgrade, so fields are only ever added, with a default.
"""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

PROVISIONAL = "provisional"
"""Written by the sweeper for a call whose process died; a settled event replaces it."""
SETTLED = "settled"

DONE = "done"
UPSTREAM_ERROR = "upstream_error"
CLIENT_GONE = "client_gone"
TIMEOUT = "timeout"
DRAINED = "drained"
UNSETTLED = "unsettled"
"""How a call ended; only `done` is success. `unsettled` is the outcome of a provisional event."""

REPORTED = "reported"
ESTIMATED = "estimated"
NONE = "none"
"""Where the token counts come from."""

NO_KEY = UUID(int=0)
MOST_REFUSED = 10**9
"""More in one count is no count."""


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call. Its instant is the timestamp inside `event_id`; `meters` holds what is not 0."""

    event_id: UUID
    workspace_id: UUID
    application_id: UUID | None
    key_id: UUID
    model_id: UUID
    alias: str
    deployment_id: UUID
    provider: str
    upstream_model: str
    state: str = SETTLED
    outcome: str = DONE
    error_code: str | None = None
    http_status: int = 200
    streamed: bool = False
    attempts: int = 1
    usage_source: str = REPORTED
    billable: bool = True
    billable_reason: str | None = None
    meters: dict[str, int] = {}
    reported: dict[str, Any] | None = None
    latency_ms: int | None = None
    first_byte_ms: int | None = None
    client_request_id: str | None = None
    service_tier: str | None = None


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """How many calls of a key were refused for one reason. `key_id` is `NO_KEY` for a key that nobody knows."""

    workspace_id: UUID
    key_id: UUID
    code: Annotated[str, msgspec.Meta(pattern="^[a-z_]{1,60}$")]
    calls: Annotated[int, msgspec.Meta(ge=1, le=MOST_REFUSED)]


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """What a process refused of a bucket's calls, since `at`: a quarter of an hour begins there."""

    at: Annotated[datetime, msgspec.Meta(tz=True)]
    counts: list[Refused]


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(UsageEvent).decode
"""Read one event; raises `msgspec.DecodeError` or `msgspec.ValidationError` for anything else."""
decode_refusals = msgspec.json.Decoder(Refusals).decode
"""Read one count of refused calls; raises the same."""


def stream_key(tag: str) -> str:
    """Name the usage stream of a bucket, by the bucket's tag."""
    return f"{tag}:usage"
