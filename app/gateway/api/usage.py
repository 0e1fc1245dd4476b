"""`GET /v1/usage`: a key reads its own spend."""

import re
from datetime import UTC, datetime

from flask import Blueprint, Response, jsonify, request

from app import hosts, units
from app.billing import usage
from app.errors import BadRequest
from app.gateway import authenticate
from app.gateway.api import mount

blueprint = Blueprint("usage", __name__)

_UNESCAPED_PLUS = re.compile(r" (\d\d:\d\d)$")


@blueprint.get("/v1/usage")
def read_usage() -> Response:
    """Sum the calling key's calls in [from, to); without them, the month so far in the workspace's zone."""
    caller = authenticate.caller_of(mount.process(), mount.token(), hosts.client_address)
    month_start, month_end = units.month_of(units.utc_now(), units.zone(caller.timezone))
    start, end = _instant("from", month_start), _instant("to", month_end)
    if end <= start:
        raise BadRequest("'to' must be later than 'from'.", param="to")
    summary = usage.usage_of_key(caller.workspace_id, caller.key_id, start=start, end=end)
    return jsonify(
        {
            "object": "usage",
            "from": _text(start),
            "to": _text(end),
            "requests": summary.requests,
            "tokens": summary.tokens,
            "cost": units.money_text(summary.cost),
            "currency": "USD",
            "unpriced_requests": summary.unpriced,
            "as_of": _text(summary.as_of),
        }
    )


def _instant(name: str, default: datetime) -> datetime:
    text = _UNESCAPED_PLUS.sub(r"+\1", request.args.get(name, ""))
    if not text:
        return default
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise BadRequest(f"'{name}' must be a time like 2026-11-01T00:00:00Z.", param=name)
    return found


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
