"""How a process keeps and sends its counts of refused calls, against a real Valkey."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gevent
import pytest
import redis as redis_client

from app import errors
from app.auth.callers import Caller
from app.billing.events import NO_KEY, Refusals, decode_refusals
from app.gateway import refusals
from app.gateway.pipe import Pipe
from app.units import PLATFORM_ID, bucket_of, bucket_tag, new_id
from deploy.local import embedded
from tests.gateway.test_pipe import answers, until

NOON = datetime(2026, 11, 10, 12, 7, 30, tzinfo=UTC)
UNKNOWN = errors.NotAuthenticated("who?")
NOT_FOUND = errors.ModelNotFound("what?")
CALLER = Caller(
    workspace_id=new_id(),
    application_id=None,
    key_id=new_id(),
    kind="proxy",
    models=None,
    requests_per_min=None,
    expires_at=None,
    timezone="UTC",
    networks=None,
    tag="",
    shown=MappingProxyType({}),
)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[embedded.Server]:
    server = embedded.start_valkey(tmp_path, embedded.free_port())
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.stop()


@pytest.fixture
def pipe(valkey: embedded.Server) -> Iterator[Pipe]:
    pipe = Pipe(valkey.url, refusals.SCRIPT)
    pipe.start()
    until(lambda: answers(pipe))
    yield pipe
    pipe.close(0)


def sent(valkey: embedded.Server, workspace_id: Any = PLATFORM_ID) -> list[Refusals]:
    """What stands in the stream of a workspace's bucket."""
    with redis_client.Redis.from_url(valkey.url) as client:
        found: Any = client.xrange(f"{bucket_tag(bucket_of(workspace_id))}:usage")
    return [decode_refusals(fields[b"r"]) for _, fields in found]


def test_a_second_of_refusals_is_one_entry_of_each_bucket(valkey: embedded.Server, pipe: Pipe) -> None:
    counts = refusals.Refusals(pipe, 0)
    for _ in range(1000):
        counts.count(UNKNOWN, None, NOON)
    for error in (NOT_FOUND, NOT_FOUND, errors.ModelNotAllowed("what?"), ValueError("a bug")):
        counts.count(error, CALLER, NOON)

    counts.send()
    counts.send()

    quarter = NOON.replace(minute=0, second=0)
    (unknown,), (known,) = sent(valkey), sent(valkey, CALLER.workspace_id)
    assert (quarter, [(PLATFORM_ID, NO_KEY, "caller_not_authenticated", 1000)]) == (unknown.at, _rows(unknown))
    key = CALLER.workspace_id, CALLER.key_id
    reasons = {"caller_model_not_found": 2, "caller_model_not_allowed": 1, "gateway_bug": 1}
    assert {(*key, code, calls) for code, calls in reasons.items()} == set(_rows(known))


def _rows(found: Refusals) -> list[tuple[Any, ...]]:
    return [(one.workspace_id, one.key_id, one.code, one.calls) for one in found.counts]


def test_a_refusal_counts_for_the_key_that_its_error_knows(valkey: embedded.Server, pipe: Pipe) -> None:
    counts = refusals.Refusals(pipe, 0)
    workspace_id, key_id = new_id(), new_id()

    counts.count(errors.NetworkNotAllowed("not here").of_key(workspace_id, key_id), None, NOON)
    counts.send()

    (found,) = sent(valkey, workspace_id)
    assert [(workspace_id, key_id, "policy_network_not_allowed", 1)] == _rows(found)


def test_a_reply_that_got_lost_makes_no_double(valkey: embedded.Server, pipe: Pipe) -> None:
    """Redis is frozen with the command in its socket's buffer: it runs it after all, and hears it again."""
    counts = refusals.Refusals(pipe, 0)
    counts.count(UNKNOWN, None, NOON)

    valkey.process.send_signal(signal.SIGSTOP)
    counts.send()
    counts.count(UNKNOWN, None, NOON)
    counts.send()
    valkey.process.send_signal(signal.SIGCONT)
    until(lambda: answers(pipe) and sent(valkey))
    counts.send()
    counts.send()

    assert [1, 1] == [count.calls for entry in sent(valkey) for count in entry.counts]


def test_counts_wait_in_their_quarter_of_an_hour_while_redis_is_away(valkey: embedded.Server, pipe: Pipe) -> None:
    counts = refusals.Refusals(pipe, 0)
    valkey.process.send_signal(signal.SIGSTOP)
    for minutes in (0, 1, 30, 31):
        counts.count(UNKNOWN, None, NOON + timedelta(minutes=minutes))
        counts.send()
    valkey.process.send_signal(signal.SIGCONT)

    until(lambda: answers(pipe))
    counts.send()
    counts.send()

    starts = {entry.at: 0 for entry in sent(valkey)}
    for entry in sent(valkey):
        starts[entry.at] += sum(count.calls for count in entry.counts)
    first = NOON.replace(minute=0, second=0)
    assert {first: 2, first + timedelta(minutes=30): 2} == starts


def test_a_full_stream_takes_them_later(valkey: embedded.Server, pipe: Pipe) -> None:
    counts, tag = refusals.Refusals(pipe, 1), bucket_tag(bucket_of(PLATFORM_ID))
    with redis_client.Redis.from_url(valkey.url) as client:
        client.xadd(f"{tag}:usage", {"r": b'{"at": "2026-11-10T12:00:00Z", "counts": []}'}, id="1-1")
        counts.count(UNKNOWN, None, NOON)
        counts.send()
        assert 1 == client.xlen(f"{tag}:usage")
        client.xtrim(f"{tag}:usage", maxlen=0)

        counts.send()

    assert [1] == [count.calls for entry in sent(valkey) for count in entry.counts]


def test_too_many_keys_are_counted_for_their_workspace(
    valkey: embedded.Server, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MOST_COUNTS", 3)
    counts = refusals.Refusals(pipe, 0)
    callers = [replace(CALLER, key_id=new_id()) for _ in range(10)]
    for caller in [*callers, *callers]:
        counts.count(NOT_FOUND, caller, NOON)

    counts.send()

    (found,) = sent(valkey, CALLER.workspace_id)
    assert {caller.key_id: 2 for caller in callers[:3]} | {NO_KEY: 14} == {
        one.key_id: one.calls for one in found.counts
    }


def test_what_is_left_at_the_end_is_sent(valkey: embedded.Server, pipe: Pipe) -> None:
    counts = refusals.Refusals(pipe, 0)
    counts.count(UNKNOWN, None, NOON)

    gevent.spawn(counts.close).join()

    assert [1] == [count.calls for entry in sent(valkey) for count in entry.counts]
