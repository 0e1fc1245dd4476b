"""Step 7: one attempt at one target, up to the point where the answer can be handed on."""

import time

from app.billing import events
from app.gateway import stream, translate
from app.gateway.call import Call
from app.gateway.upstream import Exchange
from app.model.catalogue import Target
from app.wire.clients import openai_chat


def attempt(call: Call, target: Target) -> bytes | stream.Flow:
    """Send the call to a target; return the whole answer, or the flow of a stream that has begun.

    Raises a `ProviderError` for an answer that cannot be handed on.
    """
    assert target.head is not None
    call.target = target
    call.attempts += 1
    call.exchange = Exchange(target.address, target.deadlines)
    call.exchange.send(target.head, translate.request(call, target))
    return stream.begin(call) if call.stream else _whole(call, call.exchange)


def _whole(call: Call, exchange: Exchange) -> bytes:
    exchange.await_headers()
    raw = exchange.read_all()
    call.first_byte_s = time.monotonic() - call.started
    if exchange.status != 200:
        raise translate.error_of(exchange.status, raw, exchange.header("retry-after"))
    completion = translate.completion(raw)
    usage = openai_chat.usage_of(completion.get("usage"))
    call.usage = lambda: usage
    call.text_bytes = lambda: openai_chat.completion_text_bytes(completion)
    call.delivered = True
    call.outcome = events.DONE
    return raw
