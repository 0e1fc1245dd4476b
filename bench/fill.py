"""Fill a database with calls as a busy tenant has them, and build their rollups by the real code.

usage: DATABASE_OWNER_URL=… DATABASE_INGEST_URL=… fill.py [CALLS [KEYS]]

One workspace, 1,000,000 calls over 2,000 keys by default, in the eight weeks before now. A few keys make most
of the calls, as in life. Some calls fail, some are unpriced, estimated or provisional. The owner must
be a superuser: PostgreSQL refuses COPY into tables with row-level security from anybody else.
"""

import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.billing import rebuild  # noqa: E402
from app.model import prices  # noqa: E402
from app.units import PLATFORM_ID, new_id, utc_now  # noqa: E402

DAYS = 56
APPLICATIONS = 40
MODELS = {
    "gpt-4o-mini": ("0.15", "0.60"),
    "gpt-4o": ("2.50", "10.00"),
    "claude-sonnet": ("3.00", "15.00"),
    "claude-haiku": ("0.80", "4.00"),
    "mistral-small": ("0.10", "0.30"),
    "deepseek-chat": ("0.27", "1.10"),
    "llama-70b": ("0.59", "0.79"),
    "gemini-flash": ("0.075", "0.30"),
    "gemini-pro": ("1.25", "5.00"),
    "grok": ("5.00", "15.00"),
    "meta/llama-3.1:8b": ("0.05", "0.08"),
    "new-and-unpriced": None,
}
"""Dollars per million tokens, input and output; a tenth of the input price for cached tokens."""
FAILURES = (("provider_busy", 503), ("provider_timeout", 504), ("provider_broken", 502), ("caller_bad_request", 400))
HOURS = [1, 1, 1, 1, 1, 2, 3, 6, 9, 10, 10, 9, 8, 9, 10, 10, 9, 7, 5, 4, 3, 2, 2, 1]
"""How busy each hour of the day is."""

_EVENTS = (
    "copy usage_event (workspace_id, occurred_at, event_id, application_id, key_id, model_id, alias, deployment_id,"
    " provider, upstream_model, state, outcome, error_code, http_status, streamed, attempts, usage_source, billable,"
    " input, cache_read, output, latency_ms, first_byte_ms) from stdin"
)
_CHARGES = "copy charge (workspace_id, occurred_at, event_id, price_ids, list_cost, billed_cost) from stdin"


@dataclass(frozen=True, slots=True)
class Model:
    """An alias with one deployment, and its prices by meter."""

    name: str
    model_id: UUID
    deployment_id: UUID
    prices: dict[str, prices.Price]


@dataclass(frozen=True, slots=True)
class Key:
    key_id: UUID
    application_id: UUID
    models: list[Model]


def fill(owner_url: str, ingest_url: str, *, calls: int = 1_000_000, keys: int = 2_000, seed: int = 7) -> UUID:
    """Make a workspace with so many calls over so many keys; answer its id. The same seed gives the same load."""
    dice = random.Random(seed)
    with psycopg.connect(owner_url) as connection, psycopg.connect(owner_url) as second:
        now = utc_now()
        connection.execute("select ensure_partitions(%s, 4)", [now - timedelta(days=DAYS)])
        workspace_id = _workspace(connection)
        models = [_model(connection, name, found) for name, found in MODELS.items()]
        callers = _keys(connection, workspace_id, keys, models, dice)
        connection.commit()
        with connection.cursor().copy(_EVENTS) as events, second.cursor().copy(_CHARGES) as charges:
            for event, charge in _calls(workspace_id, callers, calls, now, dice):
                events.write(event)
                charges.write(charge)
    with psycopg.connect(ingest_url, autocommit=True) as ingest:
        rebuild.rebuild(workspace_id, database=ingest)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("vacuum analyze")
    return workspace_id


def _workspace(connection: psycopg.Connection[Any]) -> UUID:
    workspace_id = new_id()
    values = [workspace_id, f"busy-{workspace_id.hex[-6:]}", "Europe/Berlin"]
    connection.execute("insert into workspace (workspace_id, name, timezone) values (%s, %s, %s)", values)
    return workspace_id


def _model(connection: psycopg.Connection[Any], name: str, found: tuple[str, str] | None) -> Model:
    """Make a model of the platform; one that is there from an earlier fill is taken as it is."""
    known = connection.execute(
        "select model_id, deployment_id from model join deployment using (workspace_id, model_id)"
        " where workspace_id = %s and name = %s",
        [PLATFORM_ID, name],
    ).fetchone()
    model_id, deployment_id = known or (new_id(), new_id())
    if not known:
        _catalogue(connection, name, model_id, deployment_id)
        for meter, unit_price in _prices(found).items():
            connection.execute(
                "insert into price (workspace_id, price_id, subject_id, meter, unit_price, valid)"
                " values (%s, %s, %s, %s, %s, '(,)')",
                [PLATFORM_ID, new_id(), model_id, meter, unit_price],
            )
    rows = connection.execute(
        "select price_id, meter, unit_price from price where subject_id = %s and upper_inf(valid)", [model_id]
    )
    book = {m: prices.Price(price_id=p, subject_id=model_id, meter=m, unit_price=u) for p, m, u in rows}
    return Model(name, model_id, deployment_id, book)


def _catalogue(connection: psycopg.Connection[Any], name: str, model_id: UUID, deployment_id: UUID) -> None:
    provider_id = new_id()
    connection.execute(
        "insert into provider (workspace_id, provider_id, name, kind, base_url) values (%s, %s, %s, 'openai', %s)",
        [PLATFORM_ID, provider_id, f"at {name}", "http://127.0.0.1:9/v1"],
    )
    connection.execute(
        "insert into model (workspace_id, model_id, name) values (%s, %s, %s)", [PLATFORM_ID, model_id, name]
    )
    connection.execute(
        "insert into deployment (workspace_id, deployment_id, model_id, provider_id, upstream_model)"
        " values (%s, %s, %s, %s, %s)",
        [PLATFORM_ID, deployment_id, model_id, provider_id, name],
    )


def _prices(found: tuple[str, str] | None) -> dict[str, Decimal]:
    if found is None:
        return {}
    read, written = Decimal(found[0]), Decimal(found[1])
    return {"input": read, "cache_read": read / 10, "output": written}


def _keys(
    connection: psycopg.Connection[Any], workspace_id: UUID, count: int, models: list[Model], dice: random.Random
) -> list[Key]:
    """Make applications and keys. A key uses one to three models, most often the first ones."""
    applications = [new_id() for _ in range(min(APPLICATIONS, count))]
    columns = "workspace_id, application_id, name, cost_centre, tags"
    with connection.cursor().copy(f"copy application ({columns}) from stdin") as copy:
        for number, application_id in enumerate(applications):
            tags = f'{{"team": "team {number % 7}"}}'
            copy.write_row((workspace_id, application_id, f"application {number}", f"CC-{number % 5}", tags))
    weights = [1 / (number + 1) for number in range(len(models))]
    keys = [
        Key(new_id(), applications[number % len(applications)], dice.choices(models, weights, k=dice.randint(1, 3)))
        for number in range(count)
    ]
    columns = "workspace_id, key_id, application_id, name, prefix, last4, models, revision"
    with connection.cursor().copy(f"copy api_key ({columns}) from stdin") as copy:
        for number, key in enumerate(keys):
            prefix = f"gw_{number:06}"
            copy.write_row((workspace_id, key.key_id, key.application_id, f"key {number}", prefix, "abcd", ["*"], 1))
    return keys


def _calls(
    workspace_id: UUID, keys: list[Key], count: int, now: datetime, dice: random.Random
) -> Iterator[tuple[str, str]]:
    """Give the lines of both tables for each call, as COPY's text format has them, in the order of the calls."""
    weights = list(accumulate(1 / (number + 1) for number in range(len(keys))))
    first_day = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    hours = list(accumulate(HOURS))
    moments = []
    for hour in dice.choices(range(24), cum_weights=hours, k=count):
        at = first_day + timedelta(days=dice.randrange(DAYS + 1), hours=hour, milliseconds=dice.randrange(3_600_000))
        moments.append(at if at < now else at - timedelta(days=7))
    callers = dice.choices(keys, cum_weights=weights, k=count)
    for at, key in zip(sorted(moments), callers, strict=True):
        yield _call(workspace_id, key, at, dice)


def _call(workspace_id: UUID, key: Key, at: datetime, dice: random.Random) -> tuple[str, str]:
    model = dice.choice(key.models)
    luck = dice.random()
    error, status = dice.choice(FAILURES) if luck < 0.03 else (r"\N", 200)
    failed = error != r"\N"
    meters = _meters(dice) if not failed else {"input": 0, "cache_read": 0, "output": 0}
    cost = prices.cost({meter: n for meter, n in meters.items() if n}, prices.Prices(listed=model.prices))
    source = "none" if failed else "estimated" if luck > 0.995 else "reported"
    state, outcome = (
        ("settled", "upstream_error" if failed else "done") if luck < 0.9995 else ("provisional", "unsettled")
    )
    call = f"{workspace_id}\t{at.isoformat()}\t{_event_id(at, dice)}"
    latency_ms = dice.randrange(200, 20_000)
    event = (
        f"{call}\t{key.application_id}\t{key.key_id}\t{model.model_id}\t{model.name}\t{model.deployment_id}"
        f"\tat {model.name}\t{model.name}\t{state}\t{outcome}\t{error}\t{status}\tf\t1\t{source}\t{'f' if failed else 't'}"
        f"\t{meters['input']}\t{meters['cache_read']}\t{meters['output']}\t{latency_ms}\t{latency_ms // 10}\n"
    )
    usd = "0" if failed else r"\N" if cost.billed_usd is None else f"{cost.billed_usd:f}"
    ids = "" if failed else ",".join(map(str, cost.price_ids))
    return event, f"{call}\t{{{ids}}}\t{usd}\t{usd}\n"


def _meters(dice: random.Random) -> dict[str, int]:
    return {
        "input": dice.randrange(20, 6_000),
        "cache_read": dice.randrange(1_000, 9_000) if dice.random() < 0.3 else 0,
        "output": dice.randrange(1, 900),
    }


def _event_id(at: datetime, dice: random.Random) -> UUID:
    """A UUIDv7 of an instant."""
    milliseconds = round((at - datetime.fromtimestamp(0, UTC)) / timedelta(milliseconds=1))
    return UUID(int=milliseconds << 80 | 7 << 76 | dice.getrandbits(12) << 64 | 2 << 62 | dice.getrandbits(62))


def main() -> None:
    calls, keys = (int(number) for number in (sys.argv[1:] + ["1000000", "2000"][len(sys.argv) - 1 :]))
    began = time.monotonic()
    owner, ingest = os.environ["DATABASE_OWNER_URL"], os.environ["DATABASE_INGEST_URL"]
    workspace_id = fill(owner, ingest, calls=calls, keys=keys)
    print(f"{workspace_id}: {calls} calls over {keys} keys in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
