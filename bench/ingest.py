"""How many usage events one worker takes into the ledger each second, rated and rolled up.

usage: DATABASE_OWNER_URL=… DATABASE_INGEST_URL=… REDIS_URL=… ingest.py [EVENTS [WORKSPACES]]

Fills the streams first: a few workspaces and keys make most of the calls, as in life. Then one process
takes them all, bucket by bucket, as the worker's job does. The owner must be a superuser. The streams
must be empty, and no worker may run.
"""

import os
import random
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from redis import Redis

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.billing import events, jobs  # noqa: E402
from app.billing.events import UsageEvent, stream_key  # noqa: E402
from app.billing.ingest import ingest  # noqa: E402
from app.units import PLATFORM_ID, bucket_of, bucket_tag, new_id  # noqa: E402

MODELS = 12
KEYS = 20
"""Of each workspace."""


def fill(redis: Redis, owner: psycopg.Connection[Any], count: int, workspaces: int) -> None:
    """Append so many events to the streams of so many workspaces."""
    dice = random.Random(7)
    models = [_model(owner) for _ in range(MODELS)]
    callers = [_workspace(owner) for _ in range(workspaces)]
    weights = [1 / (number + 1) for number in range(workspaces)]
    asked = redis.pipeline(transaction=False)
    for number, (workspace_id, keys) in enumerate(dice.choices(callers, weights, k=count)):
        event = _event(workspace_id, dice.choice(keys), dice.choice(models), dice)
        asked.xadd(stream_key(bucket_tag(bucket_of(workspace_id))), {"e": events.encode(event)})
        if number % 5000 == 4999:
            asked.execute()
    asked.execute()


def drain(redis: Redis, database: psycopg.Connection) -> int:
    """Take everything; return how many calls were new."""
    added = 0
    while buckets := jobs.waiting(redis):
        for bucket in buckets:
            batch = ingest(bucket, database=database, redis=redis)
            added += batch.added if batch else 0
    return added


def _workspace(owner: psycopg.Connection[Any]) -> tuple[UUID, Sequence[tuple[UUID, UUID]]]:
    workspace_id = new_id()
    values = [workspace_id, f"busy-{workspace_id.hex[-8:]}"]
    owner.execute("insert into workspace (workspace_id, name, timezone) values (%s, %s, 'Europe/Berlin')", values)
    return workspace_id, [(new_id(), new_id()) for _ in range(KEYS)]


def _model(owner: psycopg.Connection[Any]) -> tuple[UUID, UUID]:
    """Make the prices of a model that is nothing but an id."""
    model_id = new_id()
    for meter, price in (("input", "2.5"), ("cache_read", "0.25"), ("output", "10")):
        owner.execute(
            "insert into price (workspace_id, price_id, subject_id, meter, unit_price, valid)"
            " values (%s, %s, %s, %s, %s, '(,)')",
            [PLATFORM_ID, new_id(), model_id, meter, price],
        )
    return model_id, new_id()


def _event(workspace_id: UUID, key: tuple[UUID, UUID], model: tuple[UUID, UUID], dice: random.Random) -> UsageEvent:
    read, cached, written = dice.randrange(50, 9000), dice.choice((0, 0, 1024)), dice.randrange(1, 2000)
    return UsageEvent(
        event_id=new_id(),
        workspace_id=workspace_id,
        application_id=key[0],
        key_id=key[1],
        model_id=model[0],
        alias="gpt-4o",
        deployment_id=model[1],
        provider="openai",
        upstream_model="gpt-4o-2024-08-06",
        meters={"input": read, "output": written} | ({"cache_read": cached} if cached else {}),
        reported={
            "prompt_tokens": read + cached,
            "completion_tokens": written,
            "total_tokens": read + cached + written,
        },
        streamed=True,
        latency_ms=dice.randrange(200, 9000),
        first_byte_ms=dice.randrange(100, 900),
    )


def main(arguments: list[str]) -> None:
    """Fill, drain, and print the figures."""
    count, workspaces = int(arguments[0]) if arguments else 100_000, int(arguments[1]) if arguments[1:] else 50
    with (
        Redis.from_url(os.environ["REDIS_URL"]) as redis,
        psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner,
        jobs.connect(os.environ["DATABASE_INGEST_URL"]) as database,
    ):
        fill(redis, owner, count, workspaces)
        before, started = time.process_time(), time.perf_counter()
        added = drain(redis, database)
        took, used = time.perf_counter() - started, time.process_time() - before
    assert added == count, f"{added} of {count} were taken"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} events: {took:.2f} s, {count / took:,.0f}/s; this process: {used:.2f} s of CPU, {memory:.0f} MiB")


if __name__ == "__main__":
    main(sys.argv[1:])
