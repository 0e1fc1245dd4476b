"""The headers of our answers: whose call it was, who served it, what is left of the limit."""

import time
from math import ceil
from urllib.parse import quote

from app import errors
from app.gateway.call import Call, RateState
from app.units import money_text

Headers = list[tuple[str, str]]

STREAM: Headers = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
]


def of_answer(call: Call) -> Headers:
    """For a whole answer: also what it cost and what the gateway added to its time."""
    found: Headers = [("content-type", "application/json"), *_of_call(call)]
    if call.cost_usd is not None:
        found.append(("x-gateway-cost", money_text(call.cost_usd)))
    if call.exchange is not None:
        found.append(("x-gateway-overhead-ms", f"{_overhead_ms(call):.1f}"))
    return found


def of_stream(call: Call) -> Headers:
    """For a stream; who serves it is left out as long as that is not certain."""
    return [*STREAM, *_of_call(call)]


def of_failure(call: Call) -> Headers:
    """For an admitted call without an answer."""
    return _of_call(call)


def of_error(error: errors.GatewayError) -> Headers:
    """What an error says beside its body: our code, when to come back, whether to come back at all."""
    found: Headers = [("content-type", "application/json"), ("x-gateway-error", error.code)]
    if isinstance(error, errors.RateLimited):
        found += _of_rate(RateState(error.limit, error.remaining, error.reset_s))
    if error.retry_after_s is not None:
        found.append(("retry-after", str(max(1, ceil(error.retry_after_s)))))
    if (retry := _should_retry(error)) is not None:
        found.append(("x-should-retry", "true" if retry else "false"))
    return found


def plain(value: str) -> str:
    """Make a value fit for a header: percent-encoded where it is not printable ASCII."""
    return value if value.isascii() and value.isprintable() else quote(value, safe=" /:@+,;=()[]")


def _of_call(call: Call) -> Headers:
    found: Headers = [("x-request-id", call.id_text)]
    if call.inbound.client_request_id:
        found.append(("x-client-request-id", call.inbound.client_request_id))
    found.append(("x-gateway-model", plain(call.alias.name)))
    if call.budget:
        found.append(("x-gateway-budget", plain(call.budget)))
    if call.target is not None and (call.delivered or not call.stream):
        found.append(("x-gateway-provider", plain(call.target.provider)))
        found.append(("x-gateway-attempts", str(call.attempts)))
    if call.target is not None and (dropped := call.target.adapter.dropped(call.body)):
        found.append(("x-gateway-dropped-params", ",".join(dropped)))
    return found + _of_rate(call.rate) if call.rate else found


def _of_rate(rate: RateState) -> Headers:
    return [
        ("x-ratelimit-limit-requests", str(rate.limit)),
        ("x-ratelimit-remaining-requests", str(rate.remaining)),
        (
            "x-ratelimit-reset-requests",
            f"{ceil(rate.reset_s * 1000)}ms" if rate.reset_s < 1 else f"{ceil(rate.reset_s)}s",
        ),
    ]


def _should_retry(error: errors.GatewayError) -> bool | None:
    """Tell SDKs, which retry by status on their own: None leaves it to them."""
    if isinstance(error, (errors.RateLimited, errors.Busy)):
        return not (isinstance(error, errors.RateLimited) and error.retry_after_s is None)
    if isinstance(error, (errors.Unreachable, errors.Unavailable, errors.Drained)):
        return True
    final = (errors.CallerError, errors.BudgetSpent, errors.TimedOut, errors.Rejected)
    return False if isinstance(error, final) else None


def _overhead_ms(call: Call) -> float:
    """Time in the gateway outside the upstream's exchange, in ms."""
    assert call.exchange is not None
    return max(0.0, (time.monotonic() - call.started - call.exchange.elapsed_s()) * 1000)
