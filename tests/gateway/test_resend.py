"""What brings the spool into Redis: the scripts, the files of dead processes, and a Redis that is another one."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import redis as redis_client

from app.gateway import intents, spool_files
from app.gateway.open_calls import OpenCalls
from app.gateway.pipe import Pipe, RedisAway
from app.gateway.resend import Resender
from app.gateway.segment import FULL
from app.gateway.spool import Spool
from deploy.local import embedded
from tests.gateway.spooling import keep, record
from tests.gateway_process import eventually


@pytest.fixture
def redis(redis_url: str) -> Iterator[redis_client.Redis]:
    with redis_client.Redis.from_url(redis_url) as client:
        yield client


def settle(redis: redis_client.Redis, event_id: str, most: int) -> int:
    keys = intents.settle_keys("{b07}", event_id)
    return int(redis.eval(intents.SETTLE, len(keys), *keys, event_id, event_id, intents.DONE_MARK_S, most))


def resend(redis: redis_client.Redis, *event_ids: str, most: int = 100, again: int = 0) -> int:
    pairs = [value for event_id in event_ids for value in (event_id, event_id)]
    keys = ("{b07}:intents", "{b07}:usage")
    return int(redis.eval(intents.RESEND, 2, *keys, "{b07}", intents.DONE_MARK_S, most, again, *pairs))


def stream(redis: redis_client.Redis) -> list[str]:
    found: Any = redis.xrange("{b07}:usage")
    return [fields[b"e"].decode() for _, fields in found]


def test_a_full_stream_lets_the_call_go_and_takes_its_event_later(redis: redis_client.Redis) -> None:
    redis.zadd("{b07}:intents", {"e2": 1})

    assert [1, FULL] == [settle(redis, "e1", 1), settle(redis, "e2", 1)]

    assert (["e1"], 0) == (stream(redis), redis.zcard("{b07}:intents"))
    assert (0, ["e1"]) == (resend(redis, "e2", "e3", most=1), stream(redis))
    assert (2, ["e1", "e2", "e3"]) == (resend(redis, "e2", "e3", most=3), stream(redis))
    assert (2, ["e1", "e2", "e3"]) == (resend(redis, "e2", "e3", most=9), stream(redis))


def test_what_is_known_is_sent_again_only_when_asked(redis: redis_client.Redis) -> None:
    settle(redis, "e1", 0)

    resend(redis, "e1")
    assert ["e1"] == stream(redis)
    resend(redis, "e1", again=1)

    assert ["e1", "e1"] == stream(redis)


def test_the_first_to_name_a_redis_names_it_until_it_is_flushed(redis: redis_client.Redis) -> None:
    names = [redis.eval(intents.GENERATION, 1, "gateway:generation", name) for name in ("one", "two")]
    redis.flushall()

    assert [b"one", b"one", b"two"] == [*names, redis.eval(intents.GENERATION, 1, "gateway:generation", "two")]


# The greenlet that looks after them, beside a Valkey of its own.


class Line:
    """One process's spool and its resender."""

    def __init__(self, folder: Path, url: str) -> None:
        self.redis = redis_client.Redis.from_url(url)
        self.pipe, self.spool = Pipe(url, intents.SCRIPTS), Spool(folder)
        self.resender = Resender(self.pipe, self.spool, OpenCalls(self.pipe, self.spool), 1000)
        self.spool.open()
        self.pipe.start()

    def settle(self, number: int) -> None:
        """Settle a call as the line does: in Redis, and kept."""
        keep(self.spool, number, reply=settle(self.redis, f"e{number}", 0))

    def turn(self) -> None:
        """Look after the spool once, when Redis is there."""
        with gevent.Timeout(10):
            while not self._answers():
                gevent.sleep(0.01)
        self.resender.turn(time.monotonic() + 60)

    def _answers(self) -> bool:
        try:
            return bool(self.pipe.call(b"PING"))
        except RedisAway:
            return False


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    valkey = embedded.start_valkey(tmp_path / "valkey", embedded.free_port())
    line = Line(tmp_path / "spool", valkey.url)
    yield line
    line.pipe.close(0)
    line.spool.close()
    line.redis.close()
    valkey.stop()


@pytest.mark.parametrize("torn", [b'0badc0de {b07} e4 {"n', b"\0" * 4096], ids=["half a line", "zeros"])
def test_after_a_power_cut_what_is_whole_is_sent(line: Line, torn: bytes) -> None:
    dead = Spool(line.spool.root)
    dead.open()
    segment = keep(dead, 1, 2, 3, reply=None)
    dead.close()
    with segment.path.open("ab") as file:
        file.write(torn)

    line.turn()

    assert [event.decode() for _, _, event in map(record, (1, 2, 3))] == stream(line.redis)
    assert [line.spool.folder] == list(line.spool.root.iterdir())


def test_what_redis_took_of_a_dead_process_is_gone_and_the_rest_waits(line: Line) -> None:
    dead = Spool(line.spool.root)
    dead.open()
    taken = keep(dead, 1, reply=None)
    dead.roll(time.monotonic())
    waits = keep(dead, 2, reply=None)
    dead.close()
    line.resender._most = 1

    line.turn()
    assert ([record(1)[2].decode()], [waits.path]) == (stream(line.redis), spool_files.segments(dead.folder))
    assert not taken.path.exists()
    line.redis.delete("{b07}:usage")
    line.resender._adopt()

    assert [record(2)[2].decode()] == stream(line.redis)
    assert not dead.folder.exists()


def test_two_processes_that_find_the_same_folder_send_it_once(line: Line) -> None:
    dead = Spool(line.spool.root)
    dead.open()
    keep(dead, 1, reply=None)
    dead.close()

    ((_, lock),) = spool_files.left_behind(line.spool.root, line.spool.folder)
    line.turn()
    assert [] == stream(line.redis)
    os.close(lock)
    line.resender._adopt()

    assert [record(1)[2].decode()] == stream(line.redis)


def test_a_replica_that_was_promoted_without_the_last_settlements_is_sent_them(line: Line, tmp_path: Path) -> None:
    line.turn()
    named = line.redis.get("gateway:generation")
    behind = embedded.start_valkey(tmp_path / "replica", embedded.free_port())
    with redis_client.Redis.from_url(behind.url) as replica:
        _follow(replica, line.redis)
        for number in (1, 2):
            line.settle(number)

        _follow(line.redis, replica)
    behind.stop()
    assert ([], named) == (stream(line.redis), line.redis.get("gateway:generation"))
    line.turn()

    assert [event.decode() for _, _, event in map(record, (1, 2))] == stream(line.redis)


def _follow(replica: redis_client.Redis, primary: redis_client.Redis) -> None:
    """Have one take over what the other has, and be its own master again, by a new replication id."""
    replica.replicaof("127.0.0.1", primary.connection_pool.connection_kwargs["port"])
    eventually(lambda: replica.info("replication").get("master_link_status") == "up", 20)
    replica.replicaof("NO", "ONE")
