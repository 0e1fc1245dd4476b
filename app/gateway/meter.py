"""Step 9: what a call used. Reported usage always counts; without it, delivered content is estimated."""

import time
from decimal import Decimal
from math import ceil

from app.billing import events
from app.billing.events import UsageEvent
from app.gateway.call import Call
from app.model.rate_cards import Consumption
from app.units import Usd, instant_of
from app.wire.usage import NOTHING, Usage

BYTES_PER_TOKEN = 3
"""The rough rule for estimates: text bytes by this, rounded up; higher than true for most text."""


def final(call: Call, now: float | None = None) -> UsageEvent:
    """Make the call's final event; `now` is monotonic seconds."""
    usage, source, reason = _measured(call)
    return _event(
        call,
        state=events.SETTLED,
        outcome=call.outcome,
        error_code=call.error_code,
        http_status=call.status,
        attempts=call.attempts,
        usage_source=source,
        billable=reason is None,
        billable_reason=reason,
        meters=usage.meters(),
        reported=usage.reported,
        service_tier=usage.service_tier,
        latency_ms=round(((now or time.monotonic()) - call.started) * 1000),
        first_byte_ms=None if call.first_byte_s is None else round(call.first_byte_s * 1000),
    )


def provisional(call: Call) -> UsageEvent:
    """Make the event that stands in when this process dies: the prompt, estimated."""
    return _event(
        call,
        state=events.PROVISIONAL,
        outcome=events.UNSETTLED,
        http_status=0,
        attempts=0,
        usage_source=events.ESTIMATED,
        meters=Usage(input=_tokens(call.prompt_bytes)).meters(),
    )


def cost_of(call: Call) -> Usd | None:
    """Price what a call used as its workspace is billed, by the prices this process knows; None when it is unpriced."""
    usage, _, reason = _measured(call)
    if reason is not None or call.target is None:
        return Usd(Decimal(0))
    used = Consumption(
        call.caller.workspace_id,
        call.alias.model_id,
        call.target.deployment_id,
        instant_of(call.event_id),
        usage.meters(),
        service_tier=usage.service_tier,
    )
    return call.alias.rates.rate(used).cost.billed_usd


def _measured(call: Call) -> tuple[Usage, str, str | None]:
    """Find usage, its source, and why it is not billable (None: it is)."""
    reported = call.usage()
    if reported is not None:
        return reported, events.REPORTED, None
    if not call.delivered:
        return NOTHING, events.NONE, "no content was delivered"
    usage = Usage(input=_tokens(call.prompt_bytes), output=_tokens(call.text_bytes()))
    return usage, events.ESTIMATED, None


def _tokens(text_bytes: int) -> int:
    return ceil(text_bytes / BYTES_PER_TOKEN)


def _event(call: Call, **rest: object) -> UsageEvent:
    caller, target = call.caller, call.target
    assert target is not None
    return UsageEvent(
        event_id=call.event_id,
        workspace_id=caller.workspace_id,
        application_id=caller.application_id,
        key_id=caller.key_id,
        model_id=call.alias.model_id,
        alias=call.alias.name,
        deployment_id=target.deployment_id,
        provider=target.provider,
        upstream_model=target.model,
        streamed=call.stream,
        client_request_id=call.inbound.client_request_id,
        **rest,  # type: ignore[arg-type]
    )
