"""The Lua that admits and settles, against a real Valkey."""

from collections.abc import Iterator

import pytest
import redis as redis_client

from app.gateway import intents

TAG = "{b07}"
MINUTE_MS = 60_000
PROVISIONAL, FINAL = b'{"state":"provisional"}', b'{"state":"settled"}'


@pytest.fixture
def redis(redis_url: str) -> Iterator[redis_client.Redis]:
    with redis_client.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


def admit(redis, event_id="e1", *limits):
    keys = [
        intents.intents_key(TAG),
        intents.intent_key(TAG, event_id),
        *(f"{TAG}:rate:{n}" for n, _ in enumerate(limits)),
    ]
    values = [value for limit in limits for value in ("rate", limit, MINUTE_MS, 1)]
    return redis.eval(intents.ADMIT, len(keys), *keys, event_id, intents.LEASE_MS, PROVISIONAL, len(limits), *values)


def settle(redis, event_id="e1", event=FINAL):
    keys = intents.settle_keys(TAG, event_id)
    return redis.eval(intents.SETTLE, len(keys), *keys, event_id, event, intents.DONE_MARK_S)


def stream(redis):
    return [fields[b"e"] for _, fields in redis.xrange(f"{TAG}:usage")]


def end_leases(redis):
    for event_id in redis.zrange(f"{TAG}:intents", 0, -1):
        redis.zadd(f"{TAG}:intents", {event_id: 1})


def test_a_call_without_limits_is_admitted_and_leaves_its_intent(redis):
    assert [1, 0] == admit(redis)

    assert PROVISIONAL == redis.hget(f"{TAG}:intent:e1", "event")
    seconds, micros = redis.time()
    lease_ms = redis.zscore(f"{TAG}:intents", "e1") - (seconds * 1000 + micros / 1000)
    assert intents.LEASE_MS - 2000 < lease_ms <= intents.LEASE_MS


def test_a_burst_of_the_whole_limit_passes_and_no_more(redis):
    replies = [admit(redis, f"e{n}", 10) for n in range(40)]

    assert [1] * 10 + [0] * 30 == [reply[0] for reply in replies]
    assert list(range(9, -1, -1)) == [reply[2] for reply in replies[:10]]


def test_a_refusal_says_when_to_come_back_and_charges_nothing(redis):
    for n in range(2):
        admit(redis, f"e{n}", 2)

    refusals = [admit(redis, f"r{n}", 2) for n in range(5)]

    assert {(0, 1, 0)} == {tuple(reply[:3]) for reply in refusals}
    assert all(29_000 < reply[4] <= 30_000 for reply in refusals)
    assert all(59_000 < reply[3] <= 60_000 for reply in refusals)
    assert 2 == redis.zcard(f"{TAG}:intents")


def test_one_refusing_limit_leaves_the_others_uncharged(redis):
    admit(redis, "e1", 5, 1)

    assert [0, 2] == admit(redis, "e2", 5, 1)[:2]
    assert 3 == admit(redis, "e3", 5)[2]


def test_a_limit_of_nothing_refuses_for_good(redis):
    assert [0, 1, 0, 0, -1] == admit(redis, "e1", 0)
    assert not redis.keys()


def test_an_admission_that_is_sent_twice_is_charged_once(redis):
    first, second = admit(redis, "e1", 2), admit(redis, "e1", 2)

    assert [1, 0, 1] == first[:3] == second[:3]
    assert [1, 0, 0] == admit(redis, "e2", 2)[:3]
    assert [1, 0, 0] == admit(redis, "e2", 2)[:3]


def test_a_settlement_takes_the_intent_away_and_appends_once(redis):
    admit(redis)

    assert [1, 0] == [settle(redis), settle(redis)]
    assert [FINAL] == stream(redis)
    assert not redis.exists(f"{TAG}:intents", f"{TAG}:intent:e1")
    assert 0 < redis.ttl(f"{TAG}:done:e1") <= intents.DONE_MARK_S


def test_an_admission_taken_back_leaves_nothing_to_sweep(redis):
    admit(redis)
    settle(redis, event=b"")
    end_leases(redis)

    assert (0, []) == (intents.sweep(redis), stream(redis))


def test_the_sweeper_writes_the_provisional_event_of_a_dead_call_once(redis):
    admit(redis)
    admit(redis, "alive")
    redis.zadd(f"{TAG}:intents", {"e1": 1})

    assert [1, 0] == [intents.sweep(redis), intents.sweep(redis)]
    assert [PROVISIONAL] == stream(redis)
    assert [b"alive"] == redis.zrange(f"{TAG}:intents", 0, -1)


def test_a_settlement_after_the_sweeper_still_counts(redis):
    admit(redis)
    end_leases(redis)
    intents.sweep(redis)

    assert 1 == settle(redis)
    assert [PROVISIONAL, FINAL] == stream(redis)


def test_more_dead_calls_than_one_round_takes_are_all_swept(redis):
    for n in range(intents.SWEEP_AT_ONCE + 5):
        admit(redis, f"e{n}")
    end_leases(redis)

    assert intents.SWEEP_AT_ONCE + 5 == intents.sweep(redis)


def test_renewal_moves_the_lease_of_open_calls_only(redis):
    admit(redis)
    redis.zadd(f"{TAG}:intents", {"e1": 1})

    redis.eval(intents.RENEW, 1, f"{TAG}:intents", intents.LEASE_MS, "e1", "swept")

    assert 1 < redis.zscore(f"{TAG}:intents", "e1")
    assert redis.zscore(f"{TAG}:intents", "swept") is None
