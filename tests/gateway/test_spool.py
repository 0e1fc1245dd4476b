"""The spool: what is kept, for how long, what is owed, and what is sent again."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
import redis as redis_client
from gevent.event import Event

from app.gateway import spool_files
from app.gateway.segment import FULL, KEEP_S
from app.gateway.spool import SEGMENT_S, Spool
from app.gateway.spool_files import Record
from tests.gateway.spooling import keep, read_all, record


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool")
    spool.open()
    yield spool
    spool.close()


class Taker:
    """Stands for Redis: takes so many records, then no more."""

    def __init__(self, room: int = 10_000) -> None:
        self.room = room
        self.taken: list[Record] = []

    def __call__(self, records: list[Record], _again: bool) -> list[Record]:
        room = max(0, self.room - len(self.taken))
        self.taken += records[:room]
        return records[room:]


def test_what_redis_has_is_written_and_not_sent_again(spool: Spool) -> None:
    segment, taker = keep(spool, 1, 2), Taker()

    spool.write(segment)
    spool.resend(taker, time.monotonic())

    assert [record(1), record(2)] == read_all(segment.path)
    assert (0, []) == (spool.owed, taker.taken)


@pytest.mark.parametrize("reply", [None, FULL, redis_client.ResponseError("OOM")])
def test_what_redis_did_not_take_is_sent_once_it_does(spool: Spool, reply: object) -> None:
    keep(spool, 1, 2, reply=reply)
    assert 2 == spool.owed

    spool.resend(Taker(room=0), time.monotonic())
    assert 2 == spool.owed
    taker = Taker()
    spool.resend(taker, time.monotonic())
    spool.resend(taker, time.monotonic())

    assert ([record(1), record(2)], 0) == (taker.taken, spool.owed)


def test_a_settlement_owed_while_its_segment_is_sent_is_sent_as_well(spool: Spool) -> None:
    segment = keep(spool, 1, reply=None)
    spool.keep(record(2))

    def late(_records: list[Record], _again: bool) -> list[Record]:
        segment.answered(FULL)
        return []

    spool.resend(late, time.monotonic())
    assert 2 == spool.owed
    taker = Taker()
    spool.resend(taker, time.monotonic())

    assert ([record(1), record(2)], 0) == (taker.taken, spool.owed)


def test_what_is_on_its_way_to_the_disk_meanwhile_is_sent_as_well(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taker, go_on, append, read = Taker(), Event(), spool_files.append, spool_files.read
    positions = list[int]()
    segment = keep(spool, 1)
    spool.write(segment)
    keep(spool, 2, reply=None)

    def slowly(path: Path, records: list[Record], *, sync: bool) -> int:
        go_on.wait()
        return append(path, records, sync=sync)

    def noted(path: Path, position: int) -> spool_files.Part | None:
        positions.append(position)
        return read(path, position)

    monkeypatch.setattr(spool_files, "append", slowly)
    monkeypatch.setattr(spool_files, "read", noted)
    writing = gevent.spawn(spool.write, segment)
    gevent.sleep(0)
    sending = gevent.spawn(spool.resend, taker, time.monotonic())
    gevent.sleep(0)
    assert [] == positions, "it was read before it was written"
    go_on.set()
    gevent.joinall([writing, sending])

    assert ([record(1), record(2)], 0) == (taker.taken, spool.owed)


def test_a_long_backlog_is_sent_in_parts_from_where_it_stopped(spool: Spool) -> None:
    keep(spool, *range(20_000), reply=None)
    taker = Taker(room=3000)

    spool.resend(taker, time.monotonic())
    first = len(taker.taken)
    taker.room = 1_000_000
    spool.resend(taker, time.monotonic())

    assert 3000 == first
    assert list(map(record, range(20_000))) == taker.taken


def test_a_new_redis_with_little_room_at_a_time_gets_everything_once(spool: Spool) -> None:
    keep(spool, *range(1000))
    spool.send_all_again(time.monotonic())
    taker = Taker(room=0)

    for _ in range(10):
        taker.room += 100
        spool.resend(taker, time.monotonic())

    assert list(map(record, range(1000))) == taker.taken


def test_the_last_minutes_are_sent_to_a_new_redis_and_older_ones_are_gone(spool: Spool) -> None:
    now = time.monotonic()
    for minute in range(8):
        keep(spool, minute)
        spool.turn(now + minute * (SEGMENT_S + 1))
    last = now + 8 * (SEGMENT_S + 1)
    spool.turn(last)
    keep(spool, 8)
    taker = Taker()

    spool.send_all_again(last)
    spool.resend(taker, last)

    minutes = [int(event_id[1:]) for _, event_id, _ in taker.taken]
    assert minutes == list(range(minutes[0], 9))
    assert KEEP_S / SEGMENT_S - 1 <= len(minutes) <= KEEP_S / SEGMENT_S + 2
    assert len(list(spool.folder.glob("*.log"))) == len(spool.segments) - 1


def test_what_is_owed_outlives_its_minutes(spool: Spool) -> None:
    segment = keep(spool, 1, reply=None)
    spool.roll(time.monotonic())

    spool.turn(time.monotonic() + 10 * KEEP_S)

    assert segment in spool.segments
    assert [record(1)] == read_all(segment.path)


def test_only_the_folder_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    dead, alive, own = (Spool(tmp_path) for _ in range(3))
    for spool in (dead, alive, own):
        spool.open()
        keep(spool, 1, reply=None)

    dead.close()
    found = spool_files.left_behind(tmp_path, own.folder)

    assert [dead.folder] == [folder for folder, _ in found]
    assert [[record(1)]] == [read_all(path) for path in spool_files.segments(dead.folder)]
    for _, lock in found:
        os.close(lock)
    for spool in (alive, own):
        spool.close()


def test_a_process_that_owes_nothing_leaves_nothing(spool: Spool) -> None:
    keep(spool, 1)

    assert 0 == spool.close()

    assert [] == list(spool.root.iterdir())
