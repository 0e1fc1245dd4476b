"""Step 8: a stream is a transaction.

Headers are held until the first real event: the first well-formed one that is no error. A failure
before it is an honest status. After 15 s of silence the client gets 200 and comments instead, and
a failure then is an error event. A stream ends in exactly one state, and only *done* looks like
success: everything else ends in an error event and without `[DONE]`.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from app import errors
from app.billing import events
from app.gateway import translate
from app.gateway.call import Call
from app.gateway.upstream import Exchange, Silence
from app.wire import sse
from app.wire.clients import openai_chat, openai_errors

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 15.0
KEEP_ALIVE = b": keep-alive\n\n"
AFTER_DONE_S = 0.25
"""How long the rest of an answer is awaited after `[DONE]`, so that its connection can be kept."""

AwaitAnswer = Callable[[float], Exchange]
"""Waits so many seconds for the headers of a good answer; raises `Silence` after them, or what went wrong."""


class Flow:
    """The bytes of one stream, from the upstream's to the client's."""

    def __init__(self, call: Call, await_answer: AwaitAnswer) -> None:
        self._call = call
        self._await_answer = await_answer
        self._splitter = sse.Splitter()
        self._relay = openai_chat.Relay(hide_usage=not call.wants_usage)
        self._held = b""
        self._first: bytes | None = None
        self._is_whole = False
        call.usage = self._relay.usage
        call.text_bytes = self._relay.text_bytes

    def await_first(self) -> None:
        """Wait for the first real event; raise `Silence` after 15 s without it, or what went wrong."""
        exchange = self._exchange = self._await_answer(KEEP_ALIVE_S)
        if "json" in exchange.header("content-type"):
            self._first = self._converted(exchange.read_all())
        elif "event-stream" in exchange.header("content-type"):
            self._first = self._first_run()
        else:
            raise errors.Broken("The provider's answer is neither JSON nor a stream.", upstream_status=200)
        self._call.delivered = True
        self._call.first_byte_s = time.monotonic() - self._call.started

    def __iter__(self) -> Iterator[bytes]:
        """Hand on every read at once; end the stream as it ended."""
        try:
            while self._first is None:
                yield KEEP_ALIVE
                self._await_again()
            yield self._first
            if not self._is_whole:
                yield from self._rest()
            self._note_done()
        except errors.GatewayError as error:
            self._note(error)
            yield openai_errors.event_of(error)
        except _ErrorPassedOn as passed:
            self._note(passed.meaning)
        except Exception:
            log.exception("a stream failed inside the gateway", extra={"request_id": self._call.id_text})
            bug = errors.Bug("The gateway failed. The operator finds the cause in its log.")
            self._note(bug)
            yield openai_errors.event_of(bug)

    def _await_again(self) -> None:
        with suppress(Silence):
            self.await_first()

    def _first_run(self) -> bytes:
        """Gather until an event holds a choice; comments and notes before it wait for it."""
        while True:
            data = self._exchange.read(KEEP_ALIVE_S)
            run = self._split(data) if data else self._ended_run()
            self._held += run
            for event in sse.events(run):
                found = sse.data_of(event)
                if found is not None and _is_real(found):
                    return self._relay.take(self._held)
            if not data:
                self._relay.take(self._held)
                raise errors.Broken("The provider's stream ended without an answer.", upstream_status=200)

    def _rest(self) -> Iterator[bytes]:
        """Hand on until `[DONE]`, the end, or an error; end an answer that is complete with one `[DONE]`."""
        relay = self._relay
        try:
            yield from self._until_end()
        except (errors.Truncated, errors.TimedOut):
            if not relay.finished:
                raise
        if relay.done:
            self._read_to_end()
        elif relay.finished:
            yield openai_chat.DONE
        else:
            raise errors.Truncated("The provider's stream ended too early.")

    def _until_end(self) -> Iterator[bytes]:
        relay, data = self._relay, b"..."
        while data and not relay.done:
            try:
                data = self._exchange.read(KEEP_ALIVE_S)
            except Silence:
                yield KEEP_ALIVE
                continue
            run = self._split(data) if data else self._ended_run()
            if run and (shown := self._relay.take(run)):
                yield shown
            if relay.error:
                raise _ErrorPassedOn(translate.error_inside(relay.error))

    def _ended_run(self) -> bytes:
        rest = self._splitter.rest().strip(b"\r\n")
        return rest + b"\n\n" if rest else b""

    def _split(self, data: bytes) -> bytes:
        try:
            return self._splitter.feed(data)
        except sse.EventTooLarge:
            raise errors.Broken("The provider sent an event that is too large.") from None

    def _converted(self, raw: bytes) -> bytes:
        """Turn one whole answer into the stream that was asked for."""
        completion = translate.completion(raw)
        self._call.usage = lambda: openai_chat.usage_of(completion.get("usage"), completion.get("service_tier"))
        self._call.text_bytes = lambda: openai_chat.completion_text_bytes(completion)
        self._is_whole = True
        return openai_chat.stream_of(completion, with_usage=self._call.wants_usage)

    def _read_to_end(self) -> None:
        with suppress(Silence, errors.GatewayError):  # the answer is complete; only its connection is lost
            while self._exchange.read(AFTER_DONE_S):
                pass

    def _note_done(self) -> None:
        self._call.outcome = events.DONE

    def _note(self, error: errors.GatewayError) -> None:
        self._call.outcome = outcome_of(error)
        self._call.error_code = error.code


class _ErrorPassedOn(Exception):
    """The upstream's own error event went to the client; nothing is added to it."""

    def __init__(self, meaning: errors.GatewayError) -> None:
        super().__init__()
        self.meaning = meaning


def begin(call: Call, await_answer: AwaitAnswer) -> Flow:
    """Begin handing on a stream: with its first event in hand, or after 15 s of silence without."""
    flow = Flow(call, await_answer)
    with suppress(Silence):
        flow.await_first()
    return flow


def outcome_of(error: errors.GatewayError) -> str:
    """Name the terminal state that an error means."""
    if isinstance(error, errors.ClientGone):
        return events.CLIENT_GONE
    if isinstance(error, errors.Drained):
        return events.DRAINED
    return events.TIMEOUT if isinstance(error, errors.TimedOut) else events.UPSTREAM_ERROR


def _is_real(data: bytes) -> bool:
    """Tell whether an event commits the stream; raise what it means when it is an error or no event."""
    chunk = openai_chat.decoded(data)
    if chunk is None:
        raise errors.Broken("The provider's stream does not begin with an answer.", upstream_status=200)
    if native := openai_chat.error_in(chunk):
        raise translate.error_inside(native)
    return bool(chunk.get("choices"))
