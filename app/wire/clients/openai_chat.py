"""OpenAI Chat Completions, as clients speak it and as compatible upstreams answer it.

Reference: the fields of `chat.completion` and `chat.completion.chunk` as the official SDK types
them (2026-11). Where client and upstream both speak it, the answer's bytes pass.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from app.wire import sse
from app.wire.usage import Usage

_decode = msgspec.json.Decoder().decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

DONE = b"data: [DONE]\n\n"
_SHARED = ("id", "created", "model", "system_fingerprint")
_SERVICE_TIERS = {
    "default": "standard",
    "standard": "standard",
    "on_demand": "standard",
    "flex": "flex",
    "priority": "priority",
    "batch": "batch",
}
"""What upstreams answer, by the price book's words. Requests also say `auto`, which is no answer."""
_TEXT_MEMBERS = ("content", "reasoning_content", "reasoning", "refusal")


def text_bytes(messages: Iterable[Any]) -> int:
    """Count the bytes of text in a conversation, UTF-8; images and files count as none."""
    return sum(_bytes_of(message.get("content")) + _calls_bytes(message) for message in messages)


def usage_of(native: Any, service_tier: Any = None) -> Usage | None:
    """Read a usage object into disjoint meters; None when it reports nothing. `service_tier` is the answer's member.

    `prompt_tokens` holds cached, cache-written and audio tokens, `completion_tokens` holds reasoning
    and audio. xAI leaves reasoning out of `completion_tokens`, which its total gives away.
    """
    if not isinstance(native, dict):
        return None
    prompt, completion = _count(native.get("prompt_tokens")), _count(native.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    of_prompt, of_completion = native.get("prompt_tokens_details"), native.get("completion_tokens_details")
    read = _detail(of_prompt, "cached_tokens") or _count(native.get("prompt_cache_hit_tokens")) or 0
    write = _detail(of_prompt, "cache_write_tokens") or _detail(of_prompt, "cache_creation_tokens")
    heard, spoken = _detail(of_prompt, "audio_tokens"), _detail(of_completion, "audio_tokens")
    reasoning = _detail(of_completion, "reasoning_tokens")
    if reasoning and _count(native.get("total_tokens")) == prompt + completion + reasoning:
        completion += reasoning
    return Usage(
        input=max(0, prompt - read - write - heard),
        cache_read=read,
        cache_write_5m=write,
        output=max(0, completion - reasoning - spoken),
        reasoning=reasoning,
        input_audio=heard,
        output_audio=spoken,
        service_tier=_tier(service_tier) or _tier(native.get("service_tier")),
        reported=native,
    )


def merged(earlier: dict[str, Any] | None, later: dict[str, Any]) -> dict[str, Any]:
    """Lay a later usage snapshot over an earlier one: set, never add; what it leaves out stays."""
    if not earlier:
        return later
    result = dict(earlier)
    for name, value in later.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = {**result[name], **value}
        elif value is not None:
            result[name] = value
    return result


def completion_text_bytes(completion: dict[str, Any]) -> int:
    """Count the bytes of text that an answer or a chunk delivers: content, reasoning, refusal, tool calls."""
    total = 0
    for choice in completion.get("choices") or ():
        if isinstance(choice, dict):
            message = choice.get("message") or choice.get("delta")
            if isinstance(message, dict):
                total += sum(_bytes_of(message.get(name)) for name in _TEXT_MEMBERS) + _calls_bytes(message)
    return total


def stream_of(completion: dict[str, Any], *, with_usage: bool) -> bytes:
    """Turn one whole answer into the stream that the client asked for, `[DONE]` included."""
    head: dict[str, Any] = {name: completion[name] for name in _SHARED if name in completion}
    head["object"] = "chat.completion.chunk"
    chunks: list[dict[str, Any]] = []
    for choice in completion["choices"]:
        index, message = choice.get("index", 0), dict(choice.get("message") or {})
        if message.get("tool_calls"):
            message["tool_calls"] = [{"index": n, **call} for n, call in enumerate(message["tool_calls"])]
        chunks.append({**head, "choices": [{"index": index, "delta": message, "finish_reason": None}]})
        reason = choice.get("finish_reason") or "stop"
        chunks.append({**head, "choices": [{"index": index, "delta": {}, "finish_reason": reason}]})
    if with_usage and completion.get("usage"):
        chunks.append({**head, "choices": [], "usage": completion["usage"]})
    return b"".join(sse.event_of(_encode(chunk)) for chunk in chunks) + DONE


class Relay:
    """Passes a stream's bytes on and remembers what the bill and the ending need.

    JSON is decoded only in events that can hold a usage, an error or the end. Text is counted
    only when it has to be: a few kilobytes are kept back for that, counted when they are full.
    """

    __slots__ = ("_hide_usage", "_kept", "_kept_bytes", "_native", "_text", "_tier", "done", "error", "finished")

    KEEP_BYTES = 16384

    def __init__(self, *, hide_usage: bool) -> None:
        self._hide_usage = hide_usage
        self._native: dict[str, Any] | None = None
        self._tier: Any = None
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._text = 0
        self.finished = False
        self.done = False
        self.error: dict[str, Any] | None = None

    def take(self, run: bytes) -> bytes:
        """Take a run of whole events; return what the client gets of it."""
        if b'finish_reason":"' in run or b'finish_reason": "' in run:
            self.finished = True
        if b"[DONE]" not in run and b'"error"' not in run and (b'"usage"' not in run or _usage_is_null(run)):
            self._keep(run)
            return run
        begins = sse.begin_of_event(run, _first_of_interest(run))
        if begins:
            self._keep(run[:begins])
        return run[:begins] + b"".join(self._each(run[begins:]))

    def usage(self) -> Usage | None:
        """The usage that the upstream reported so far."""
        return None if self._native is None else usage_of(self._native, self._tier)

    def text_bytes(self) -> int:
        """Bytes of text delivered so far."""
        self._count_kept()
        return self._text

    def _each(self, run: bytes) -> Iterable[bytes]:
        for event in sse.events(run):
            if self.done or self.error:
                return
            yield self._one(event)

    def _one(self, event: bytes) -> bytes:
        data = sse.data_of(event)
        whole = event + b"\n\n"
        if data is None:
            return whole
        if data.strip().startswith(b"[DONE]"):
            self.done = True
            return DONE
        self._keep(whole)
        if b'"error"' in data or not _usage_is_null(data):
            return self._look_into(event, data, whole)
        return whole

    def _look_into(self, event: bytes, data: bytes, whole: bytes) -> bytes:
        chunk = decoded(data)
        if chunk is None:
            return whole
        if error := error_in(chunk):
            self.error = error
        native = chunk.get("usage")
        if not isinstance(native, dict):
            return whole
        self._native = merged(self._native, native)
        self._tier = chunk.get("service_tier") or self._tier
        if not self._hide_usage:
            return whole
        return b"" if not chunk.get("choices") else _without_usage(event, data)

    def _keep(self, run: bytes) -> None:
        self._kept.append(run)
        self._kept_bytes += len(run)
        if self._kept_bytes > self.KEEP_BYTES:
            self._count_kept()

    def _count_kept(self) -> None:
        if self._kept:
            self._text += _text_of_run(b"".join(self._kept))
            self._kept.clear()
            self._kept_bytes = 0


def decoded(data: bytes) -> dict[str, Any] | None:
    """Read a JSON object; None for anything else."""
    try:
        value = _decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def error_in(chunk: dict[str, Any]) -> dict[str, Any] | None:
    """Find the error an upstream put into a 200: an `error` member that says something."""
    error = chunk.get("error")
    if not error:
        return None
    return error if isinstance(error, dict) else {"message": str(error)}


class _Delta(msgspec.Struct, gc=False):
    """What a chunk can deliver; other members are skipped without being built."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_chunks = msgspec.json.Decoder(list[_Chunk]).decode


def _text_of_run(run: bytes) -> int:
    """Count the bytes of text in a run of events: in one decoding where each is one plain line of data."""
    if run.startswith(b"data: ") and run.endswith(b"\n\n"):
        try:
            return sum(map(_text_of_chunk, _decode_chunks(b"[%s]" % run[6:-2].replace(b"\n\ndata: ", b","))))
        except (msgspec.DecodeError, RecursionError):
            pass  # other lines among them, or one that is no chunk
    return sum(_text_of_event(event) for event in sse.events(run))


def _text_of_event(event: bytes) -> int:
    try:
        return _text_of_chunk(_decode_chunk(sse.data_of(event) or b"{}"))
    except (msgspec.DecodeError, RecursionError):
        return 0


def _text_of_chunk(chunk: _Chunk) -> int:
    total = 0
    for choice in chunk.choices or ():
        delta = choice.delta
        if delta is not None:
            total += sum(
                _bytes_of(part)
                for part in (delta.content, delta.reasoning_content, delta.reasoning, delta.refusal)
                if part
            )
            if delta.tool_calls:
                total += _calls_bytes({"tool_calls": delta.tool_calls})
    return total


def _first_of_interest(run: bytes) -> int:
    """Find the first byte that can belong to a usage, an error or the end; there is one."""
    found = [run.find(b"[DONE]"), run.find(b'"error"'), -1 if _usage_is_null(run) else run.find(b'"usage"')]
    return min(at for at in found if at >= 0)


def _usage_is_null(run: bytes) -> bool:
    """Tell that no event of the run holds a usage object; many upstreams send `"usage":null` each time."""
    if b'"usage"' not in run:
        return True
    return run.count(b'"usage"') == run.count(b'"usage":null') + run.count(b'"usage": null')


def _without_usage(event: bytes, data: bytes) -> bytes:
    members = _decode_members(data)
    members.pop("usage", None)
    return sse.with_data(event, _encode(members))


def _tier(value: Any) -> str | None:
    return _SERVICE_TIERS.get(value) if isinstance(value, str) else None


def _detail(details: Any, member: str) -> int:
    if not isinstance(details, dict):
        return 0
    return _count(details.get(member)) or 0


def _count(value: Any) -> int | None:
    """Read a token count as upstreams send it: a number, sometimes a float or a string; never below 0."""
    if type(value) is int:
        return max(0, value)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return max(0, int(float(value)) if isinstance(value, str) else int(value))
    except (ValueError, OverflowError):
        return None


def _bytes_of(content: Any) -> int:
    if isinstance(content, str):
        return len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
    if not isinstance(content, list):
        return 0
    return sum(_bytes_of(part.get("text")) for part in content if isinstance(part, dict))


def _calls_bytes(message: dict[str, Any]) -> int:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return 0
    functions = [call.get("function") for call in calls if isinstance(call, dict)]
    return sum(_bytes_of(f.get("name")) + _bytes_of(f.get("arguments")) for f in functions if isinstance(f, dict))
