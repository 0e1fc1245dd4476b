"""Server-sent events as bytes: cut at event boundaries, look inside only where something can be.

The one place where a stream is parsed. Lines may end in LF, CRLF or CR; an event ends with an
empty line. Nothing here changes a byte.
"""

import re
from collections.abc import Iterator

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""A single event may hold an image; above this it is refused."""

_BOUNDARY = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event grew beyond `MAX_EVENT_BYTES` without ending."""


class Splitter:
    """Gathers reads and gives back whole events."""

    __slots__ = ("_buffer", "_has_cr")

    def __init__(self) -> None:
        self._buffer = b""
        self._has_cr = False

    def feed(self, data: bytes) -> bytes:
        """Take one read; return every event completed so far as one run of bytes, b"" when none is."""
        if not self._buffer and data.endswith(b"\n\n") and b"\r" not in data:
            return data
        seen = len(self._buffer)
        buffer = self._buffer + data if seen else data
        end = self._last_boundary(buffer, data, max(0, seen - 3))
        if end == len(buffer):
            self._buffer = b""
            return buffer
        self._buffer = buffer[end:]
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise EventTooLarge
        return buffer[:end]

    def rest(self) -> bytes:
        """Return what came after the last boundary: an unterminated event, if the stream ended here."""
        return self._buffer

    def _last_boundary(self, buffer: bytes, data: bytes, start: int) -> int:
        if not self._has_cr and b"\r" not in data:
            found = buffer.rfind(b"\n\n", start)
            return found + 2 if found >= 0 else 0
        self._has_cr = True
        end = 0
        for match in _BOUNDARY.finditer(buffer, start):
            end = match.end()
        return end


def events(run: bytes) -> Iterator[bytes]:
    """Walk the events of a run of whole events, each without its empty line."""
    parts = run.split(b"\n\n") if b"\r" not in run else _BOUNDARY.split(run)
    return (part for part in parts if part)


def begin_of_event(run: bytes, at: int) -> int:
    """Find where the event around a position of a run begins."""
    if b"\r" not in run:
        found = run.rfind(b"\n\n", 0, at)
        return found + 2 if found >= 0 else 0
    return max((match.end() for match in _BOUNDARY.finditer(run, 0, at)), default=0)


def data_of(event: bytes) -> bytes | None:
    """Join an event's data lines; None when it has none (a comment, an id, a retry time)."""
    if event.startswith(b"data:") and b"\n" not in event and b"\r" not in event:
        return event[6:] if event[5:6] == b" " else event[5:]
    lines = [_field(line) for line in _LINE.split(event.removeprefix(_BYTE_ORDER_MARK)) if line.startswith(b"data")]
    found = [value for value in lines if value is not None]
    return b"\n".join(found) if found else None


def with_data(event: bytes, data: bytes) -> bytes:
    """Make an event again with other data, its other lines kept, ended by an empty line."""
    others = [line for line in _LINE.split(event) if not line.startswith(b"data")]
    return b"\n".join([*others, b"data: " + data]) + b"\n\n"


def event_of(data: bytes) -> bytes:
    """Make an event of one line of data."""
    return b"data: " + data + b"\n\n"


def _field(line: bytes) -> bytes | None:
    if line == b"data":
        return b""
    if not line.startswith(b"data:"):
        return None
    return line[6:] if line[5:6] == b" " else line[5:]
