"""Step 4: may this call go now. One Lua call checks every limit, charges them, and leaves the intent."""

from math import ceil

from app.billing import events
from app.errors import RateLimited, Unavailable
from app.gateway import meter
from app.gateway.call import Call, RateState
from app.gateway.intents import DONE_MARK_S, LEASE_MS, intent_key, intents_key, settle_keys
from app.gateway.pipe import RedisAway
from app.gateway.process import Process
from app.model.catalogue import Target

MINUTE_MS = 60_000


def check(process: Process, call: Call, target: Target) -> Call:
    """Admit the call or raise `RateLimited`; `Unavailable` when Redis does not answer in time.

    `target` is the first that will be tried; the intent names it in case this process dies.
    """
    call.target = target
    caller, limit = call.caller, call.caller.requests_per_min
    keys: tuple[str, ...] = (intents_key(caller.tag), intent_key(caller.tag, call.id_text))
    limits: tuple[object, ...] = (0,)
    if limit is not None:
        keys += (f"{caller.tag}:rate:{caller.key_id}",)
        limits = (1, "rate", limit, MINUTE_MS, 1)
    intent = events.encode(meter.provisional(call))
    try:
        reply = process.pipe.call_script("admit", keys, call.id_text, LEASE_MS, intent, *limits)
    except RedisAway as error:
        _take_back(process, call)
        raise Unavailable("The gateway cannot check the limits now. Try again soon.", retry_after_s=1) from error
    if limit is not None:
        _read_rate(call, limit, reply)
    process.open_calls.add(call)
    return call


def _read_rate(call: Call, limit: int, reply: list[int]) -> None:
    admitted, _, remaining, reset_ms, retry_ms = reply
    if not admitted:
        raise RateLimited(
            f"This API key may make {limit} requests a minute. {_advice(retry_ms)}",
            limit=limit,
            reset_s=reset_ms / 1000,
            retry_after_s=retry_ms / 1000 if retry_ms >= 0 else None,
        )
    call.rate = RateState(limit, remaining, reset_ms / 1000)


def _advice(retry_ms: int) -> str:
    return f"Try again in {ceil(retry_ms / 1000)} s." if retry_ms >= 0 else "Ask for a higher limit."


def _take_back(process: Process, call: Call) -> None:
    """An admission that timed out may still have run: undo its intent, without an event."""
    process.pipe.send_script("settle", settle_keys(call.caller.tag, call.id_text), call.id_text, "", DONE_MARK_S)
