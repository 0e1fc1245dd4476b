"""Counts the calls that are refused, in process; once a second the counts follow the usage into the ledger's database.

No event and no row each: whoever sends nonsense a thousand times a second makes a number grow. A count is of one
key and one reason; all unknown keys are one, the platform's. While Redis is away the counts stay here.
"""

import logging
from collections import Counter, defaultdict
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import gevent

from app import errors
from app.auth.callers import Caller
from app.billing import events
from app.billing.events import NO_KEY, Refused, stream_key
from app.gateway.intents import DONE_MARK_S
from app.gateway.pipe import Pipe, RedisAway
from app.units import PLATFORM_ID, bucket_of, bucket_tag, new_id

SEND_EVERY_S = 1.0
MOST_COUNTS = 20_000
"""With more of them waiting, calls of further keys are counted for their workspace alone."""
QUARTER_MIN = 15
"""Hours of every zone begin with a quarter of an hour of UTC."""
STREAM_IS_FULL = 2

_SEND = """
-- KEYS: done mark, usage stream. ARGV: the counts, seconds of the mark, how many entries the stream may hold.
-- Replies 1; 0 for a double, as after a reply that got lost; 2 when the stream is full: the sender keeps them.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local most = tonumber(ARGV[3])
if most > 0 and redis.call('XLEN', KEYS[2]) >= most then return 2 end
redis.call('SET', KEYS[1], '1', 'EX', ARGV[2])
redis.call('XADD', KEYS[2], '*', 'r', ARGV[1])
return 1
"""
SCRIPT = {"refusals": _SEND}
"""What the line's connection loads for it."""

log = logging.getLogger(__name__)


class _When(NamedTuple):
    """The stream that counts go to, and the start of their quarter of an hour."""

    tag: str
    at: datetime


class _What(NamedTuple):
    workspace_id: UUID
    key_id: UUID
    code: str


class _Entry(NamedTuple):
    """Counts as they are sent, as often as it takes; Redis takes an id once."""

    id_text: str
    payload: bytes
    calls: int


class Refusals:
    """The counts of one process. `most` is how many entries a stream may hold."""

    def __init__(self, pipe: Pipe, most: int) -> None:
        self._pipe, self._most = pipe, most
        self._gathered = Counter[tuple[_When, _What]]()
        self._unsent: dict[_When, _Entry] = {}

    def count(self, error: Exception, caller: Caller | None, now: datetime) -> None:
        """Count one refused call of a key; with neither a caller nor a key that the error knows, of an unknown one."""
        workspace_id, key_id = PLATFORM_ID, NO_KEY
        if caller is not None:
            workspace_id, key_id = caller.workspace_id, caller.key_id
        elif isinstance(error, errors.GatewayError) and error.key:
            workspace_id, key_id = error.key
        code = error.reason if isinstance(error, errors.GatewayError) else errors.Bug.code
        quarter = now.replace(minute=now.minute // QUARTER_MIN * QUARTER_MIN, second=0, microsecond=0)
        when = _When(bucket_tag(bucket_of(workspace_id)), quarter)
        place = when, _What(workspace_id, key_id, code)
        if len(self._gathered) >= MOST_COUNTS and place not in self._gathered:
            place = when, _What(workspace_id, NO_KEY, code)
        self._gathered[place] += 1

    def run(self) -> None:
        """Send what gathered, each second, for ever; a greenlet."""
        while True:
            gevent.sleep(SEND_EVERY_S)
            try:
                self.send()
            except Exception:
                log.exception("counts of refused calls could not be sent; trying again")

    def send(self) -> None:
        """Send an entry for each bucket that has counts. What Redis does not take is sent the next time."""
        self._pack()
        for when, entry in list(self._unsent.items()):
            keys = f"{when.tag}:done:{entry.id_text}", stream_key(when.tag)
            try:
                reply = self._pipe.call_script("refusals", keys, entry.payload, DONE_MARK_S, self._most)
            except RedisAway:
                return
            if reply != STREAM_IS_FULL:
                self._unsent.pop(when, None)

    def close(self) -> None:
        """Send what is left. What Redis does not take now is lost with this process: it is no money."""
        self.send()
        lost = self._gathered.total() + sum(entry.calls for entry in self._unsent.values())
        if lost:
            log.warning("counts of refused calls are lost", extra={"calls": lost})

    def _pack(self) -> None:
        """Make an entry of each bucket and quarter of an hour whose last one was taken; others go on gathering."""
        ready = defaultdict[_When, list[Refused]](list)
        for place in [one for one in self._gathered if one[0] not in self._unsent]:
            when, what = place
            ready[when].append(Refused(*what, calls=self._gathered.pop(place)))
        for when, counts in ready.items():
            payload = events.encode(events.Refusals(at=when.at, counts=counts))
            self._unsent[when] = _Entry(str(new_id()), payload, sum(one.calls for one in counts))
