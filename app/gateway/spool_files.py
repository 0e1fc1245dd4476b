"""The files of a spool: one record a line, with a checksum, so that a torn line is known from a whole one.

Everything runs in the loop's thread pool and makes the asking greenlet wait. Raises `OSError`.
"""

import fcntl
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import gevent

READ_BYTES = 128 * 1024
LOCK = "lock"
PROBE_BYTES = 64 * 1024

Record = tuple[bytes, bytes, bytes]
"""A bucket's tag, an event's id, and the event; none holds a line's end, and only the event a space."""
Found = TypeVar("Found")

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """Records of a file, and where the next part begins."""

    found: list[Record]
    end: int


def make(folder: Path) -> int:
    """Make a folder and lock it; return the lock, which ends with the process or when it is closed."""
    return _threaded(lambda: _make(folder))


def append(path: Path, records: list[Record], *, sync: bool) -> int:
    """Append records; return how many bytes. With `sync` they are on the disk when this returns."""
    return _threaded(lambda: _append(path, records, sync=sync))


def read(path: Path, position: int) -> Part | None:
    """Read records from a position on; None at the end, where the rest of a torn line may stand."""
    return _threaded(lambda: _read(path, position))


def delete(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    _threaded(lambda: shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True))


def probe(folder: Path) -> None:
    """Try whether the disk takes anything."""
    _threaded(lambda: _probe(folder / "probe"))


def left_behind(root: Path, own: Path) -> list[tuple[Path, int]]:
    """Lock the folders of processes that are gone; return each with its lock."""
    return _threaded(lambda: _left_behind(root, own))


def segments(folder: Path) -> list[Path]:
    """List a folder's files of records, oldest first."""
    return _threaded(lambda: sorted(folder.glob("*.log")))


def _threaded(work: Callable[[], Found]) -> Found:
    """Do it in a thread. An error crosses over as a value: the pool would print its traceback each time."""

    def safely() -> Found | OSError:
        try:
            return work()
        except OSError as error:
            return error

    found: Found | OSError = gevent.get_hub().threadpool.apply(safely)
    if isinstance(found, OSError):
        raise found
    return found


def _make(folder: Path) -> int:
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    lock = _try_lock(folder)
    if lock is None:
        raise BlockingIOError("the folder is somebody else's")
    return lock


def _try_lock(folder: Path) -> int | None:
    """Lock a folder; None when somebody else has it, or has just deleted it."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _append(path: Path, records: Iterable[Record], *, sync: bool) -> int:
    data = b"".join(map(_line, records))
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _write_whole(file, data)
        if sync:
            os.fdatasync(file)
    finally:
        os.close(file)
    return len(data)


def _write_whole(file: int, data: bytes) -> None:
    """Write all of it or nothing: a disk that fills up half-way must not leave a line that grows a second head."""
    start = os.lseek(file, 0, os.SEEK_END)
    written = os.write(file, data) if data else 0
    if written < len(data):
        os.ftruncate(file, start)
        raise OSError(28, "No space left on device")


def _line(record: Record) -> bytes:
    body = b" ".join(record)
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _read(path: Path, position: int) -> Part | None:
    try:
        with path.open("rb") as file:
            file.seek(position)
            lines = file.readlines(READ_BYTES)
    except FileNotFoundError:
        return None
    whole = [line for line in lines if line.endswith(b"\n")]
    if not whole:
        return None
    found = [record for record in map(_record, whole) if record]
    if len(found) < len(whole):
        log.error("the spool holds broken lines", extra={"file": path.name, "broken": len(whole) - len(found)})
    return Part(found, position + sum(map(len, whole)))


def _record(line: bytes) -> Record | None:
    checksum, _, body = line[:-1].partition(b" ")
    tag, _, rest = body.partition(b" ")
    event_id, _, event = rest.partition(b" ")
    return (tag, event_id, event) if checksum == b"%08x" % zlib.crc32(body) else None


def _probe(path: Path) -> None:
    path.write_bytes(bytes(PROBE_BYTES))
    path.unlink()


def _left_behind(root: Path, own: Path) -> list[tuple[Path, int]]:
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        lock = _try_lock(folder) if folder != own and folder.is_dir() else None
        if lock is not None:
            found.append((folder, lock))
    return found
