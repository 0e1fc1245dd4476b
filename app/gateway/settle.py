"""Step 10: the end of a call, exactly once, whatever happened. Nobody waits for it."""

import time

from app.billing import events
from app.gateway import meter
from app.gateway.call import Call
from app.gateway.intents import DONE_MARK_S, settle_keys
from app.gateway.process import Process
from app.logging import metrics, process_log


def once(process: Process, call: Call) -> None:
    """Let the upstream go, release the intent and append the usage event in one Lua call."""
    if call.settled:
        return
    call.settled = True
    if call.exchange is not None:
        call.exchange.close()
    process.open_calls.discard(call)
    event = meter.final(call)
    _send(process, call, events.encode(event))
    _report(call, event)


def _send(process: Process, call: Call, event: bytes) -> None:
    """Send the settlement and have it written to the spool, which keeps it when Redis does not take it.

    While the disk takes nothing, it stays in memory until Redis has it, whatever the length of the stream.
    """
    keys, pipe = settle_keys(call.caller.tag, call.id_text), process.pipe
    segment = process.spool.keep((call.caller.tag.encode(), call.id_text.encode(), event))
    if segment is None:
        pipe.send_script("settle", keys, call.id_text, event, DONE_MARK_S, 0)
        return
    most = process.stream_limit
    pipe.send_script("settle", keys, call.id_text, event, DONE_MARK_S, most, on_reply=segment.answered)


def _report(call: Call, event: events.UsageEvent) -> None:
    metrics.call_ended(
        route="/v1/chat/completions",
        status=call.status,
        outcome=event.outcome,
        error_code=event.error_code,
        seconds=time.monotonic() - call.started,
        first_byte_s=call.first_byte_s,
        meters=event.meters,
        cost_usd=call.cost_usd if call.cost_usd is not None else meter.cost_of(call),
    )
    process_log.call(
        {
            "request_id": call.id_text,
            **call.caller.shown,
            "alias": event.alias,
            "provider": event.provider,
            "status": call.status,
            "outcome": event.outcome,
            "code": event.error_code,
            "latency_ms": event.latency_ms,
            "first_byte_ms": event.first_byte_ms,
            "tokens": event.meters,
        }
    )
