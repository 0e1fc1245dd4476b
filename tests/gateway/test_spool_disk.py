"""The spool's disk: cut off in the middle of a line, full, away, and deleted under it."""

import os
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.gateway import spool_files
from app.gateway.spool import Spool
from tests.gateway.spooling import TAG, keep, read_all, record


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool")
    spool.open()
    yield spool
    spool.close()


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: a write that would is cut off there, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_torn_line_and_a_broken_one_are_left_out(spool: Spool) -> None:
    segment = keep(spool, 1, 2, 3)
    spool.write(segment)
    whole = segment.path.read_bytes()

    segment.path.write_bytes(whole.replace(b'"n": 2', b'"n": 9')[:-5])

    assert [record(1)] == read_all(segment.path)


def test_a_line_that_was_not_whole_is_read_once_it_is(spool: Spool) -> None:
    segment = keep(spool, 1, 2)
    spool.write(segment)
    whole = segment.path.read_bytes()
    segment.path.write_bytes(whole[:-5])

    first = spool_files.read(segment.path, 0)
    assert first
    assert [record(1)] == first.found
    assert spool_files.read(segment.path, first.end) is None
    segment.path.write_bytes(whole)

    assert ([record(2)], len(whole)) == spool_files.read(segment.path, first.end)


def test_a_disk_that_fills_up_in_the_middle_of_a_line_keeps_whole_lines_alone(spool: Spool) -> None:
    segment = keep(spool, 1)
    spool.write(segment)
    big = (TAG, b"e2", b"x" * 2_000_000)
    spool.keep(big)

    with room_for(1_000_000):
        spool.write(segment)
        assert spool.keep(record(3)) is None
    with room_for(1000):
        spool.turn(time.monotonic())
        assert spool.is_broken
    assert [record(1)] == read_all(segment.path)
    assert segment.size == segment.path.stat().st_size
    spool.turn(time.monotonic())
    keep(spool, 4)
    spool.write(segment)

    assert [record(1), big, record(4)] == read_all(segment.path)


def test_a_folder_that_somebody_deleted_is_made_anew_and_locked(spool: Spool) -> None:
    segment = keep(spool, 1)
    shutil.rmtree(spool.folder)

    spool.write(segment)
    assert spool.is_broken
    spool.turn(time.monotonic())
    spool.write(segment)

    assert [record(1)] == read_all(segment.path)
    assert [] == spool_files.left_behind(spool.root, spool.root / "another")


def test_a_disk_that_takes_nothing_breaks_the_spool_until_it_does(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    spool = Spool(tmp_path / "spool")

    spool.open()
    assert spool.keep(record(1)) is None
    (tmp_path / "spool").unlink()
    spool.turn(time.monotonic())

    segment = keep(spool, 2)
    spool.write(segment)
    assert [record(2)] == read_all(segment.path)
    spool.close()


def test_only_what_redis_has_not_is_synced(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, fdatasync = list[int](), os.fdatasync

    def noted(file: int) -> None:
        synced.append(os.fstat(file).st_size)
        fdatasync(file)

    monkeypatch.setattr(os, "fdatasync", noted)

    spool.write(keep(spool, 1))
    assert [] == synced
    segment = keep(spool, 2, reply=None)
    spool.write(segment)
    spool.write(segment)

    assert [segment.path.stat().st_size] == synced


def test_what_could_not_be_written_is_written_later(spool: Spool) -> None:
    segment = keep(spool, 1, reply=None)
    os.rename(spool.folder, spool.folder.with_suffix(".away"))

    spool.write(segment)
    assert spool.is_broken
    assert not segment.synced
    os.rename(spool.folder.with_suffix(".away"), spool.folder)
    spool.turn(time.monotonic())
    spool.write(segment)

    assert [record(1)] == read_all(segment.path)
    assert segment.synced
