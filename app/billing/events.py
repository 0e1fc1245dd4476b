"""The usage event: what the line settles and the ledger ingests, one per call.

It travels as JSON in the field `e` of a bucket's stream `{bNN}:usage`. Producer and consumer may
be of different releases during an upgrade, so fields are only ever added, with a default.
"""

from typing import Any
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


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(UsageEvent).decode
"""Read one event; raises `msgspec.DecodeError` or `msgspec.ValidationError` for anything else."""


def stream_key(tag: str) -> str:
    """Name the usage stream of a bucket, by the bucket's tag."""
    return f"{tag}:usage"
