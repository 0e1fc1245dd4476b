"""Settlements under test, as the spool keeps them."""

from pathlib import Path

from app.gateway import spool_files
from app.gateway.segment import Segment
from app.gateway.spool import Spool
from app.gateway.spool_files import Record

TAG = b"{b07}"


def record(number: int) -> Record:
    return TAG, b"e%d" % number, b'{"n": %d}' % number


def keep(spool: Spool, *numbers: int, reply: object = 1) -> Segment:
    """Keep settlements that Redis answers so."""
    segments = [spool.keep(record(number)) for number in numbers]
    for segment in segments:
        assert segment
        segment.answered(reply)
    assert segments[-1]
    return segments[-1]


def read_all(path: Path) -> list[Record]:
    found, position = list[Record](), 0
    while part := spool_files.read(path, position):
        found += part.found
        position = part.end
    return found
