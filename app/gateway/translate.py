"""Step 6: the request as the target takes it, and what its answer means.

Client and upstream speak the same dialect here, so a request changes only in its model and its
usage option (and in members the upstream is known to name otherwise), and an answer not at all.
"""

from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from app import errors
from app.gateway.call import Call
from app.model.catalogue import Target
from app.units import utc_now
from app.wire.clients import openai_chat, openai_errors

_encode = msgspec.json.Encoder().encode

CALLERS_FAULT = frozenset({400, 404, 409, 413, 415, 422})
TIMEOUTS = frozenset({408, 504})
BUSY = frozenset({429, 503, 529})


def request(call: Call, target: Target, *, asks_usage: bool) -> bytes:
    """Write the body for a target. `asks_usage`: of a stream; the client sees it if it asked too."""
    body = target.adapter.request(call.body)
    body["model"] = target.model
    if call.stream:
        _set_usage_option(body, asks_usage)
    return _encode(body)


def _set_usage_option(body: dict[str, Any], asks_usage: bool) -> None:
    """Write the option, or leave it out: also one that says no, which is what its absence means."""
    options = dict(body.pop("stream_options", None) or {})
    options.pop("include_usage", None)
    if asks_usage:
        options["include_usage"] = True
    if options:
        body["stream_options"] = options


def completion(raw: bytes) -> dict[str, Any]:
    """Read a whole answer; raise what it means when it is none."""
    found = openai_chat.decoded(raw)
    if found is None:
        raise errors.Broken("The provider's answer is not valid JSON.", upstream_status=200)
    if native := openai_chat.error_in(found):
        raise error_inside(native)
    choices = found.get("choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise errors.Broken("The provider's answer holds no choices.", upstream_status=200)
    return found


def error_of(status: int, raw: bytes, retry_after: str) -> errors.GatewayError:
    """Say what an upstream's error status means. Its text is passed on only where the caller is at fault."""
    native = openai_errors.native_of(openai_chat.decoded(raw))
    wait_s = _seconds(retry_after)
    if status in CALLERS_FAULT:
        return errors.Rejected("The provider refused the request.", upstream_status=status, body=native)
    if status in BUSY:
        said = native if status == 429 else None
        return errors.Busy(
            "The provider is busy. Try again later.",
            upstream_status=429 if status == 429 else 503,
            retry_after_s=wait_s,
            body=said,
        )
    if status in TIMEOUTS:
        return errors.TimedOut("The provider did not finish in time.", upstream_status=status)
    if status in {401, 402, 403}:
        return errors.Refused("The provider does not accept the gateway's account.", upstream_status=status)
    return errors.Broken(f"The provider failed with status {status}.", upstream_status=status)


def error_inside(native: dict[str, Any]) -> errors.GatewayError:
    """Say what an error means that an upstream put into a 200; a numeric code counts as its status."""
    code = native.get("code")
    number = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdigit()) else 0
    words = f"{native.get('type')} {code}"
    if number == 429 or "rate_limit" in words or "insufficient_quota" in words:
        return errors.Busy("The provider is busy. Try again later.", upstream_status=429, body=native)
    return errors.Broken("The provider failed.", upstream_status=number or 200)


def _seconds(retry_after: str) -> float | None:
    """Read Retry-After: seconds, also with decimals, or a date; None for anything else."""
    text = retry_after.strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - utc_now()).total_seconds())
    except (ValueError, TypeError):
        return None
