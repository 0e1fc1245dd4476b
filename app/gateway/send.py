"""Step 7: one attempt at one target, up to the point where the answer can be handed on."""

import time

from app.billing import events
from app.gateway import stream, translate, usage_option
from app.gateway.call import Call
from app.gateway.upstream import Exchange
from app.model.catalogue import Target
from app.wire.clients import openai_chat, openai_errors


def attempt(call: Call, target: Target) -> bytes | stream.Flow:
    """Send the call to a target; return the whole answer, or the flow of a stream that has begun.

    Raises a `ProviderError` for an answer that cannot be handed on.
    """
    call.target = target
    if call.stream:
        return stream.begin(call, _Streamed(call, target).await_answer)
    return _whole(call, _sent(call, target))


def _sent(call: Call, target: Target, *, asks_usage: bool = False, started: float | None = None) -> Exchange:
    """Send the call; its deadlines count from `started`, or from now."""
    assert target.head is not None
    call.attempts += 1
    call.exchange = Exchange(target.address, target.deadlines, started)
    call.exchange.send(target.head, translate.request(call, target, asks_usage=asks_usage))
    return call.exchange


def _whole(call: Call, exchange: Exchange) -> bytes:
    exchange.await_headers()
    raw = exchange.read_all()
    call.first_byte_s = time.monotonic() - call.started
    if exchange.status != 200:
        raise translate.error_of(exchange.status, raw, exchange.header("retry-after"))
    completion = translate.completion(raw)
    usage = openai_chat.usage_of(completion.get("usage"), completion.get("service_tier"))
    call.usage = lambda: usage
    call.text_bytes = lambda: openai_chat.completion_text_bytes(completion)
    call.delivered = True
    call.outcome = events.DONE
    return raw


class _Streamed:
    """A stream that was asked for: once more without the usage option where the gateway's own one is refused."""

    def __init__(self, call: Call, target: Target) -> None:
        self._call, self._target = call, target
        self._adds_option = not call.wants_usage and not usage_option.is_refused_by(target, time.monotonic())
        self._left_out = False
        self._exchange = _sent(call, target, asks_usage=call.wants_usage or self._adds_option)

    def await_answer(self, slice_s: float) -> Exchange:
        """Wait for the headers of a good answer; raise `Silence` after `slice_s`, or what another status means."""
        exchange = self._exchange
        exchange.await_headers(slice_s)
        if exchange.status == 200:
            if self._left_out:
                usage_option.note_refusal(self._target, time.monotonic())
            return exchange
        raw = exchange.read_all()
        if not (self._adds_option and openai_errors.blames_usage_option(exchange.status, raw)):
            raise translate.error_of(exchange.status, raw, exchange.header("retry-after"))
        self._adds_option, self._left_out = False, True
        self._exchange = _sent(self._call, self._target, started=exchange.started)
        return self.await_answer(slice_s)
