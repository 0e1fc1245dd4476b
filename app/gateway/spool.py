"""The settlements of the last minutes on disk: what Redis has not taken, and what a new Redis is sent again.

Each process appends to segments in a folder of its own, `spool/<name>/`, which it keeps locked. A
segment holds a minute and lives for `KEEP_S`; one with settlements that Redis does not have stays
until it has them. They are *owed* while Redis is away, refuses them, or its stream is long enough.
A folder whose process died is taken over by any other of the node. Nothing here depends on order,
and sending twice does no harm: Redis marks what it has, and ingest drops doubles.

Files are synced only for what is owed. What Redis has is written so that it outlives this process.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gevent.event import Event

from app.gateway import spool_files
from app.gateway.segment import Segment
from app.gateway.spool_files import Part, Record
from app.logging import metrics

SEGMENT_S = 60.0
WRITE_EVERY_S = 0.1
SYNC_EVERY_S = 0.01
"""What a killed process may lose of what it owes; the sweeper then writes what its intents say."""
Send = Callable[[list[Record], bool], list[Record]]
"""Sends records, with True also those that Redis marks as known; answers those that it did not take."""

log = logging.getLogger(__name__)


class Spool:
    """The segments of this process. Its methods are for greenlets of one loop; files are touched in its thread pool.

    `is_broken` while the disk takes nothing: then `keep` does neither.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / f"{os.getpid()}-{time.time_ns():x}"
        self.segments: deque[Segment] = deque()
        self.is_broken = False
        self._wake = Event()
        self._lock: int | None = None
        self._number = 0
        self._begin(time.monotonic())

    @property
    def owed(self) -> int:
        """How many settlements only the disk has."""
        return sum(segment.owed for segment in self.segments)

    def open(self) -> None:
        """Make and lock the folder. A disk that refuses breaks the spool, not the process."""
        try:
            self._lock = spool_files.make(self.folder)
        except OSError as error:
            self._failed(error)

    def keep(self, record: Record) -> Segment | None:
        """Have a settlement written soon; None while the disk takes nothing."""
        if self.is_broken:
            return None
        segment = self.segments[-1]
        segment.out.append(record)
        return segment

    def run(self) -> None:
        """Write what gathers, for ever; a greenlet. A broken disk is left to `turn`."""
        while True:
            owing = self.segments[-1].owed > 0 and not self.is_broken
            self._wake.wait(SYNC_EVERY_S if owing else WRITE_EVERY_S)
            self._wake.clear()
            for segment in list(self.segments) if not self.is_broken else ():
                self.write(segment)

    def write(self, segment: Segment) -> None:
        """Write what a segment has gathered, and sync what is owed. What fails stays and is tried again."""
        with segment.writing:
            sync = not segment.synced
            if not segment.out and not sync:
                return
            out, segment.out = segment.out, []
            segment.synced = True
            try:
                segment.size += spool_files.append(segment.path, out, sync=sync)
            except OSError as error:
                segment.out = out + segment.out
                segment.synced = segment.synced and not sync
                self._failed(error)

    def turn(self, now: float) -> None:
        """Begin a new segment each minute, delete those that are past, and try a broken disk again."""
        if self.is_broken:
            self._try_again()
        if now - self.segments[-1].began > SEGMENT_S:
            self.roll(now)
        for segment in [one for one in self.segments if one.is_past(now)]:
            self._delete(segment)

    def roll(self, now: float) -> None:
        """End the current segment when there is anything in it."""
        last = self.segments[-1]
        if not last.size and not last.out:
            last.began = now
            return
        last.ended = now
        self._begin(now)
        self.write(last)

    def resend(self, send: Send, now: float) -> None:
        """Send what Redis has not taken, oldest first, until it takes no more."""
        if self.segments[-1].waits and not any(one.waits for one in list(self.segments)[:-1]):
            self.roll(now)
        for segment in [one for one in self.segments if one.waits and one.ended is not None]:
            if not self._resend(segment, send):
                return

    def send_all_again(self, now: float) -> None:
        """Note that Redis is another one, or has forgotten: the next `resend` sends all that is kept."""
        self.roll(now)
        for segment in self.segments:
            segment.again = segment.ended is not None
            segment.from_the_start()

    def close(self) -> int:
        """Write what is left; return how many settlements are lost with this process. What is owed waits on disk."""
        for segment in list(self.segments):
            self.write(segment)
        unwritten = sum(len(segment.out) for segment in self.segments)
        if not self.owed and not unwritten:
            spool_files.delete(self.folder)
        self._unlock()
        return unwritten

    def _resend(self, segment: Segment, send: Send) -> bool:
        """Go on where the last try ended; tell whether all was taken, and nothing was owed meanwhile."""
        self.write(segment)
        owed, again = segment.owed, segment.again
        while part := segment.rest or spool_files.read(segment.path, segment.resent_to):
            left = send(part.found, again)
            if segment.owed != owed:
                return False
            # What was taken is not sent twice: with a little room at a time, that would be all that ever is sent.
            if left:
                segment.rest = Part(left, part.end)
                return False
            segment.resent_to, segment.rest = part.end, None
        if segment.out:
            return False
        segment.owed, segment.again = 0, False
        return True

    def _delete(self, segment: Segment) -> None:
        try:
            spool_files.delete(segment.path)
        except OSError as error:
            self._failed(error)
        else:
            self.segments.remove(segment)

    def _begin(self, now: float) -> None:
        self._number += 1
        self.segments.append(Segment(self.folder / f"{self._number:06}.log", self._wake, now))

    def _failed(self, error: OSError) -> None:
        metrics.spool_failed()
        if not self.is_broken:
            log.critical("the spool cannot be written; settlements stay in memory", extra={"cause": error.strerror})
        self.is_broken = True

    def _try_again(self) -> None:
        try:
            if self._lock is None or not self.folder.is_dir():
                self._unlock()
                self._lock = spool_files.make(self.folder)
            spool_files.probe(self.folder)
        except OSError:
            metrics.spool_failed()
            return
        log.info("the spool can be written again")
        self.is_broken = False

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
