"""Entries of a usage stream: calls that can be billed, counts of refused ones, and what is wrong with the others."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from app.billing.events import (
    ESTIMATED,
    NONE,
    PROVISIONAL,
    REPORTED,
    SETTLED,
    Refusals,
    UsageEvent,
    decode,
    decode_refusals,
)
from app.units import bucket_of, instant_of

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
"""No call is older; a clock that says so is wrong."""
CLOCK_SLACK = timedelta(days=1)
"""How far ahead of ours a proxy's clock may be."""
MOST_TOKENS = 10**12
"""More in one call is a broken upstream, and would overflow sums of the ledger."""
MOST_INTEGER = 2**31 - 1

StreamEntry = tuple[bytes, Mapping[bytes, bytes]]


class Entry(msgspec.Struct, frozen=True):
    """One call as it stands in the stream, and its instant."""

    entry_id: str
    payload: bytes
    event: UsageEvent
    occurred_at: datetime


class Reject(msgspec.Struct, frozen=True):
    """An entry that cannot be billed; kept for repair."""

    entry_id: str
    payload: bytes
    reason: str


class Found(NamedTuple):
    """What stands in some entries."""

    calls: list[Entry]
    refusals: list[Refusals]
    rejects: list[Reject]


class Unusable(Exception):
    """The entry decodes, but no row can be made of it; the message says why."""


def read(entries: Iterable[StreamEntry], bucket: int, now: datetime) -> Found:
    """Part what can be billed, and what was refused, from what is neither. Raises nothing, whatever stands in the stream."""
    found = Found([], [], [])
    for raw_id, fields in entries:
        entry_id = raw_id.decode()
        payload = (fields.get(b"e") or fields.get(b"r")) if fields else None
        if payload is None:
            found.rejects.append(Reject(entry_id, repr(fields).encode(), "it has no field e or r"))
            continue
        try:
            if b"e" in fields:
                event = decode(payload)
                found.calls.append(Entry(entry_id, payload, event, _checked(event, bucket, now)))
            else:
                found.refusals.append(_checked_refusals(decode_refusals(payload), bucket, now))
        except (msgspec.MsgspecError, UnicodeError, Unusable) as error:
            found.rejects.append(Reject(entry_id, payload, str(error)))
    return found


def once(entries: Iterable[Entry]) -> list[Entry]:
    """Keep one entry of each call: the first, unless a settled one follows a provisional one."""
    kept: dict[tuple[object, object], Entry] = {}
    for entry in entries:
        call = (entry.event.workspace_id, entry.event.event_id)
        known = kept.get(call)
        if known is None or (known.event.state == PROVISIONAL and entry.event.state == SETTLED):
            kept[call] = entry
    return list(kept.values())


def _checked(event: UsageEvent, bucket: int, now: datetime) -> datetime:
    """Check what JSON types cannot tell, and find the call's instant; raise `Unusable`."""
    if bucket_of(event.workspace_id) != bucket:
        raise Unusable("its workspace belongs to another bucket")
    if event.state not in (SETTLED, PROVISIONAL) or event.usage_source not in (REPORTED, ESTIMATED, NONE):
        raise Unusable("its state or usage source is none that there is")
    for count in event.meters.values():
        if not 0 <= count <= MOST_TOKENS:
            raise Unusable("a meter is negative or absurdly large")
    for number in (event.http_status, event.attempts, event.latency_ms or 0, event.first_byte_ms or 0):
        if not -MOST_INTEGER <= number <= MOST_INTEGER:
            raise Unusable("a number is absurdly large")
    return _instant(event, now)


def _checked_refusals(refusals: Refusals, bucket: int, now: datetime) -> Refusals:
    """Check what JSON types cannot tell; raise `Unusable`."""
    if any(bucket_of(one.workspace_id) != bucket for one in refusals.counts):
        raise Unusable("a workspace of it belongs to another bucket")
    if not EARLIEST <= refusals.at <= now + CLOCK_SLACK:
        raise Unusable("its time is absurd")
    return refusals


def _instant(event: UsageEvent, now: datetime) -> datetime:
    if (event.event_id.int >> 76) & 0xF != 7:
        raise Unusable("its id is no UUIDv7 and holds no time")
    try:
        occurred_at = instant_of(event.event_id)
    except OverflowError as error:
        raise Unusable("the time in its id is absurd") from error
    if not EARLIEST <= occurred_at <= now + CLOCK_SLACK:
        raise Unusable("the time in its id is absurd")
    return occurred_at
