"""A minute of the spool: one file, what is not written to it yet, and what Redis said to the settlements in it."""

from pathlib import Path
from typing import Any

from gevent.event import Event
from gevent.lock import BoundedSemaphore

from app.gateway.spool_files import Part, Record

KEEP_S = 300.0
FULL = 2
"""What Redis answers when a stream is long enough: it has let the call go and not taken its event."""


class Segment:
    """One file, and what is not written yet. `resent_to` is how far it was sent again, in bytes; `rest` goes on from there.

    One greenlet at a time writes it: who has `writing` knows that nothing is between `out` and the file.
    """

    __slots__ = (
        "again",
        "began",
        "ended",
        "out",
        "owed",
        "path",
        "resent_to",
        "rest",
        "size",
        "synced",
        "wake",
        "writing",
    )

    def __init__(self, path: Path, wake: Event, now: float) -> None:
        self.path, self.wake, self.began = path, wake, now
        self.ended: float | None = None
        self.out: list[Record] = []
        self.rest: Part | None = None
        self.size = self.owed = self.resent_to = 0
        self.synced, self.again = True, False
        self.writing = BoundedSemaphore()

    def answered(self, reply: Any) -> None:
        """Hear what Redis said to one of the settlements; None: nothing, and it may have run or not."""
        if reply is None or reply == FULL or isinstance(reply, Exception):
            self.owe()

    def owe(self) -> None:
        """Note that Redis has not taken one of the settlements."""
        self.owed += 1
        self.from_the_start()
        self.synced = False
        self.wake.set()

    def from_the_start(self) -> None:
        """Have all of it sent again."""
        self.resent_to, self.rest = 0, None

    @property
    def waits(self) -> bool:
        """Whether something in it is to be sent."""
        return self.owed > 0 or self.again

    def is_past(self, now: float) -> bool:
        """Whether nobody needs it any more."""
        return self.ended is not None and not self.waits and not self.out and now - self.ended > KEEP_S
