"""Entries of a usage stream: which are calls that can be billed, and what is wrong with the others."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from app.billing.events import ESTIMATED, NONE, PROVISIONAL, REPORTED, SETTLED, UsageEvent, decode
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


class Unusable(Exception):
    """The event decodes, but no ledger row can be made of it; the message says why."""


def read(entries: Iterable[StreamEntry], bucket: int, now: datetime) -> tuple[list[Entry], list[Reject]]:
    """Part what can be billed from what cannot. Raises nothing, whatever stands in the stream."""
    usable: list[Entry] = []
    rejects: list[Reject] = []
    for raw_id, fields in entries:
        entry_id = raw_id.decode()
        payload = fields.get(b"e") if fields else None
        if payload is None:
            rejects.append(Reject(entry_id, repr(fields).encode(), "it has no field e"))
            continue
        try:
            event = decode(payload)
            usable.append(Entry(entry_id, payload, event, _checked(event, bucket, now)))
        except (msgspec.MsgspecError, UnicodeError, Unusable) as error:
            rejects.append(Reject(entry_id, payload, str(error)))
    return usable, rejects


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
