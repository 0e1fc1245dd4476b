"""Brings what the spool holds into Redis: what it owes, what a new Redis must hear again, what dead processes left.

A Redis is another one when its generation key, which the first process writes, or its replication
id is not the one that was known; and it has forgotten when it evicted keys. Then the settlements
of the last minutes are sent again, known or not, and the open calls leave their intents anew.
"""

import contextlib
import logging
import os
import secrets
import time
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import gevent

from app.billing import events
from app.billing.events import stream_key
from app.gateway import meter, spool_files
from app.gateway.intents import DONE_MARK_S, LEASE_MS, intent_key, intents_key
from app.gateway.open_calls import OpenCalls
from app.gateway.pipe import Pipe, RedisAway
from app.gateway.spool import Spool
from app.gateway.spool_files import Record

LOOK_EVERY_S = 1.0
FIRST_LOOK_EVERY_S = 0.05
"""Until it is known which Redis it is: only then can it turn out to be another."""
ADOPT_EVERY_S = 5.0
AGAIN_AFTER_EVICTION_S = 10.0
MOST_WHILE_EVICTING = 100
"""How many events a stream may hold for more to be sent again: a burst would be evicted like the one before."""
AT_ONCE = 100
"""Records in one script: Redis is busy with them for about a millisecond."""
GENERATION_KEY = "gateway:generation"
NEVER_EVICTS = "noeviction"

log = logging.getLogger(__name__)


class Identity(NamedTuple):
    """Which Redis it is."""

    generation: str
    replid: str


class Resender:
    """The greenlet of one process that does so. `most` is how many events a stream may hold."""

    def __init__(self, pipe: Pipe, spool: Spool, open_calls: OpenCalls, most: int) -> None:
        self._pipe, self._spool, self._open_calls, self._most = pipe, spool, open_calls, most
        self._known: Identity | None = None
        self._evicted = 0
        self._evicts = False
        self._again_at = self._adopt_at = 0.0

    def run(self) -> None:
        """Look each second, for ever."""
        while True:
            try:
                self.turn(time.monotonic())
            except Exception:
                log.exception("the spool could not be looked after; trying again")
            gevent.sleep(LOOK_EVERY_S if self._known else FIRST_LOOK_EVERY_S)

    def turn(self, now: float) -> None:
        """Look after the spool's files and, while Redis answers, send what it must hear."""
        self._spool.turn(now)
        with contextlib.suppress(RedisAway):
            self._look_at_redis(now)
            self._spool.resend(self._send, now)
            if now >= self._adopt_at:
                self._adopt_at = now + ADOPT_EVERY_S
                self._adopt()

    def _look_at_redis(self, now: float) -> None:
        info = _parsed(self._pipe.call(b"INFO"))
        generation = self._pipe.call_script("generation", (GENERATION_KEY,), secrets.token_hex(8))
        found = Identity(generation.decode(), info.get("master_replid", ""))
        evicted = int(info.get("evicted_keys", 0))
        if self._known is None:
            self._evicted = evicted
            _warn_of_eviction(info.get("maxmemory_policy", NEVER_EVICTS))
        elif self._known != found:
            log.warning("redis is another one; the last settlements are sent again")
            self._start_again(now, evicted)
        elif evicted > self._evicted and now >= self._again_at:
            log.error(
                "redis evicted keys; the last settlements are sent again", extra={"keys": evicted - self._evicted}
            )
            self._again_at = now + AGAIN_AFTER_EVICTION_S
            self._start_again(now, evicted)
        self._known = found

    def _start_again(self, now: float, evicted: int) -> None:
        self._evicts = self._evicts or evicted > self._evicted
        self._evicted = evicted
        self._spool.send_all_again(now)
        for call in self._open_calls.every():
            keys = intents_key(call.caller.tag), intent_key(call.caller.tag, call.id_text)
            intent = events.encode(meter.provisional(call))
            self._pipe.send_script("admit", keys, call.id_text, LEASE_MS, intent, 0)

    def _send(self, records: list[Record], again: bool) -> list[Record]:
        """Append events to their streams; return those whose stream is full. Raises `RedisAway`."""
        left: list[Record] = []
        for tag, found in groupby(sorted(records, key=itemgetter(0)), key=itemgetter(0)):
            some = list(found)
            for first in range(0, len(some), AT_ONCE):
                some_now = some[first : first + AT_ONCE]
                taken = self._append(tag.decode(), some_now, again)
                if taken < len(some_now):
                    left += some[first + taken :]
                    break
        return left

    def _append(self, tag: str, records: list[Record], again: bool) -> int:
        """Append events to one stream until it is full; return how many need not be sent any more."""
        keys = (intents_key(tag), stream_key(tag))
        pairs = [value for _, event_id, event in records for value in (event_id, event)]
        most = min(self._most, MOST_WHILE_EVICTING) if self._evicts else self._most
        return int(self._pipe.call_script("resend", keys, tag, DONE_MARK_S, most, int(again), *pairs))

    def _adopt(self) -> None:
        for folder, lock in spool_files.left_behind(self._spool.root, self._spool.folder):
            try:
                if all(self._send_file(path) for path in spool_files.segments(folder)):
                    spool_files.delete(folder)
            finally:
                os.close(lock)

    def _send_file(self, path: Path) -> bool:
        """Send a dead process's file; tell whether Redis took all of it. What it took is deleted at once."""
        position = 0
        while part := spool_files.read(path, position):
            if self._send(part.found, again=False):
                return False
            position = part.end
        spool_files.delete(path)
        return True


def _warn_of_eviction(policy: str) -> None:
    if policy != NEVER_EVICTS:
        log.warning(
            "redis may evict what is not in the ledger yet; set its maxmemory-policy to noeviction",
            extra={"policy": policy},
        )


def _parsed(info: bytes) -> dict[str, str]:
    """Read the lines of `INFO`, each a name, a colon and a value."""
    return dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
