"""The line's one Redis connection, against a real Valkey that is frozen, killed and started again."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
import redis as redis_client

from app.gateway import pipe as pipes
from app.gateway.pipe import Pipe, RedisAway
from deploy.local import embedded

COUNT_UP = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
SCRIPTS = {"count": COUNT_UP, "slow": "local n = 0 for i = 1, tonumber(ARGV[1]) do n = n + i end return n"}


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[embedded.Server]:
    server = embedded.start_valkey(tmp_path, embedded.free_port(), password="secret-word")
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.stop()


@pytest.fixture
def pipe(valkey: embedded.Server) -> Iterator[Pipe]:
    pipe = Pipe(valkey.url, SCRIPTS)
    pipe.start()
    until(lambda: answers(pipe))
    yield pipe
    pipe.close(0)


def until(condition, limit_s=5.0):
    with gevent.Timeout(limit_s):
        while not condition():
            gevent.sleep(0.01)


def answers(pipe):
    try:
        return pipe.call(b"PING") == b"PONG"
    except RedisAway:
        return False


def fetch(pipe, key, into):
    try:
        into.append(pipe.call(b"GET", key))
    except RedisAway:
        return False
    return True


def count(valkey, key="n"):
    with redis_client.Redis.from_url(valkey.url) as client:
        return int(client.get(key) or 0)


def test_many_greenlets_share_one_connection_and_get_their_own_replies(pipe, valkey):
    def ask(number):
        pipe.call(b"SET", f"k{number}", number)
        return int(pipe.call(b"GET", f"k{number}"))

    replies = [greenlet.get() for greenlet in [gevent.spawn(ask, number) for number in range(500)]]

    assert list(range(500)) == replies
    with redis_client.Redis.from_url(valkey.url) as client:
        assert 2 == len(client.client_list())  # ours and this question's


def test_an_answer_larger_than_any_buffer_arrives_whole(pipe):
    value = os.urandom(3_000_000)

    gevent.joinall([gevent.spawn(pipe.call, b"SET", f"k{n}", value) for n in range(3)])

    replies = []
    until(lambda: fetch(pipe, "k2", replies))
    assert [value] == replies


def test_an_error_of_one_command_is_told_to_its_caller_alone(pipe):
    pipe.call(b"SET", "text", "x")

    with pytest.raises(RedisAway):
        pipe.call(b"INCR", "text")

    assert b"x" == pipe.call(b"GET", "text")


def test_a_frozen_redis_is_given_up_on_in_time_and_used_again_afterwards(pipe, valkey):
    valkey.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()

    with pytest.raises(RedisAway):
        pipe.call(b"PING")
    first = time.monotonic() - started
    with pytest.raises(RedisAway):
        pipe.call(b"PING")
    both = time.monotonic() - started

    assert pipes.TIMEOUT_S <= first < 0.5
    assert both - first < 0.05
    valkey.process.send_signal(signal.SIGCONT)
    until(lambda: answers(pipe))


def test_what_nobody_waits_for_survives_a_killed_redis(pipe, valkey, tmp_path):
    port = int(valkey.url.rpartition(":")[2].split("/")[0])
    pipe.send_script("count", ("n",), 1)
    until(lambda: pipe.unacknowledged == 0)
    valkey.process.kill()
    valkey.process.wait()

    for _ in range(10):
        pipe.send_script("count", ("n",), 1)
    gevent.sleep(0)
    assert 10 == pipe.unacknowledged
    revived = embedded.start_valkey(tmp_path, port, password="secret-word")

    until(lambda: pipe.unacknowledged == 0)
    assert 11 == count(revived)
    revived.stop()


def test_what_nobody_waits_for_survives_a_frozen_redis(pipe, valkey):
    valkey.process.send_signal(signal.SIGSTOP)
    pipe.send_script("count", ("n",), 1)
    until(lambda: pipe._sock is None, limit_s=4)

    assert 1 == pipe.unacknowledged
    valkey.process.send_signal(signal.SIGCONT)

    until(lambda: pipe.unacknowledged == 0)
    assert 1 <= count(valkey) <= 2  # a reply that got lost runs it twice: scripts are idempotent


def test_flushed_scripts_are_loaded_again(pipe, valkey):
    with redis_client.Redis.from_url(valkey.url) as client:
        client.script_flush()

    pipe.send_script("count", ("n",), 5)
    until(lambda: pipe.unacknowledged == 0)

    assert 6 == pipe.call_script("count", ("n",), 1)


def test_a_settlement_that_redis_refuses_is_tried_again(pipe, valkey):
    pipe.call(b"SET", "n", "no number")
    pipe.send_script("count", ("n",), 1)
    gevent.sleep(0.1)
    assert answers(pipe)

    pipe.call(b"DEL", "n")
    until(lambda: count(valkey) == 1)


def test_closing_waits_for_acknowledgement_and_tells_what_is_missing(valkey):
    pipe = Pipe(valkey.url, SCRIPTS)
    pipe.start()
    until(lambda: answers(pipe))
    pipe.send_script("count", ("n",), 1)

    assert 0 == pipe.close(2)
    assert 1 == count(valkey)


def test_without_a_redis_it_fails_at_once():
    pipe = Pipe(f"redis://127.0.0.1:{embedded.free_port()}/0", SCRIPTS)
    pipe.start()
    started = time.monotonic()

    with pytest.raises(RedisAway):
        pipe.call_script("count", ("n",), 1)

    assert time.monotonic() - started < 0.05
    pipe.close(0)
