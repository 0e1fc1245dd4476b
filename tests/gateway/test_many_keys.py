"""Many keys in one batch of usage."""

from dataclasses import replace
from decimal import Decimal
from functools import partial

from app.application import keys
from app.billing import events, holding
from app.extensions import transaction
from app.units import bucket_of, bucket_tag
from tests.factories import Key, make_key, unique, wait_until_known
from tests.gateway.answers import together
from tests.gateway_process import Gateway, eventually
from tests.upstream import J, Upstream

KEYS = 150


def more_keys(key: Key, count: int) -> list[Key]:
    """Give a key so many siblings in its application, and wait until the gateway knows them all."""
    assert key.application_id
    with key.gateway.services():
        made = [keys.create(key.workspace_id, key.application_id, unique("key"), models=["*"]) for _ in range(count)]
    found = [replace(key, secret=one.secret, key_id=one.key_id) for one in made]
    wait_until_known(found[-1])
    return found


def test_bc_029_each_of_many_keys_in_one_batch_is_counted(gateway: Gateway, upstream: Upstream) -> None:
    """Whoever holds the lock of the workspace's bucket keeps ingest waiting, so all calls come in one batch."""
    first = make_key(gateway, upstream)
    every = [first, *more_keys(first, KEYS - 1)]
    upstream.always(J(10, 100))
    usage = events.stream_key(bucket_tag(bucket_of(first.workspace_id)))
    rollup = "select key_id, requests, billed_cost from rollup_hour_key where workspace_id = %s"

    with gateway.services(), transaction(first.workspace_id) as session:
        holding.hold(session, first.workspace_id)
        together(4, lambda number: call_with(every[number::4]))
        eventually(lambda: gateway.redis.xlen(usage) == KEYS)
        assert [] == gateway.sql(rollup, first.workspace_id)

    rows = eventually(lambda: (found := gateway.sql(rollup, first.workspace_id)) and found)
    assert {one.key_id for one in every} == {row["key_id"] for row in rows}
    assert ({1}, {Decimal("0.00021")}) == ({row["requests"] for row in rows}, {row["billed_cost"] for row in rows})
    assert (KEYS, Decimal("0.0315")) == (len(rows), sum(row["billed_cost"] for row in rows))


def call_with(some: list[Key]) -> None:
    """Have one call of each key answered."""
    for key in some:
        eventually(partial(is_answered, key))


def is_answered(key: Key) -> bool:
    """Make one call. On a busy machine Redis may answer too late for its admission: then it counts nowhere."""
    status = key.chat().status_code
    assert status in {200, 503}
    return status == 200
