"""A ledger under test: its streams, its rows as the cluster's superuser sees them, and what they must add up to."""

import itertools
import secrets
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from redis import Redis

from app.billing import jobs
from app.billing.events import UsageEvent, encode, stream_key
from app.billing.ingest import Batch, ingest
from app.billing.rollups import NO_APPLICATION
from app.billing.tables import COUNTS, ROLLUPS
from app.units import PLATFORM_ID, bucket_of, bucket_tag, day_of, local_hour_of, new_id, utc_now, zone
from app.wire.usage import METERS

NOON = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def event_id(at: datetime) -> UUID:
    """A UUIDv7 of an instant."""
    milliseconds = round((at - datetime.fromtimestamp(0, UTC)) / timedelta(milliseconds=1))
    random = secrets.randbits(62)
    return UUID(int=milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | random)


def call(workspace_id: UUID, *, at: datetime = NOON, **changes: Any) -> UsageEvent:
    """A settled call; every id that is not given is new."""
    members: dict[str, Any] = {
        "event_id": event_id(at),
        "workspace_id": workspace_id,
        "application_id": new_id(),
        "key_id": new_id(),
        "model_id": new_id(),
        "deployment_id": new_id(),
        "alias": "m",
        "provider": "mock",
        "upstream_model": "upstream-model",
        "meters": {"input": 10, "output": 100},
    }
    return UsageEvent(**members | changes)


@dataclass
class Books:
    """One database and one Redis. `ingest` is the connection of the worker's role."""

    redis: Redis
    owner: psycopg.Connection[dict[str, Any]]
    ingest: psycopg.Connection

    def workspace(self, timezone: str = "UTC") -> UUID:
        workspace_id = new_id()
        values = [workspace_id, f"workspace-{next(_numbers)}", timezone]
        self.owner.execute("insert into workspace (workspace_id, name, timezone) values (%s, %s, %s)", values)
        return workspace_id

    def price(self, subject_id: UUID, *, of: UUID = PLATFORM_ID, valid: str = "(,)", **prices: str) -> dict[str, UUID]:
        """Set list prices in dollars per million tokens; answers the row's id by meter."""
        made = {}
        for meter, unit_price in prices.items():
            made[meter] = new_id()
            self.owner.execute(
                "insert into price (workspace_id, price_id, subject_id, meter, unit_price, valid)"
                " values (%s, %s, %s, %s, %s, %s)",
                [of, made[meter], subject_id, meter, Decimal(unit_price), valid],
            )
        return made

    def put(self, *events: UsageEvent) -> None:
        """Append events to the streams of their workspaces, in this order."""
        pipeline = self.redis.pipeline(transaction=False)
        for event in events:
            pipeline.xadd(stream_key(bucket_tag(bucket_of(event.workspace_id))), {"e": encode(event)})
        pipeline.execute()

    def put_raw(self, bucket: int, fields: Mapping[str, bytes], entry_id: str = "*") -> None:
        self.redis.xadd(stream_key(bucket_tag(bucket)), dict(fields), id=entry_id)

    def take(self, **clients: Any) -> list[Batch]:
        """Ingest everything that waits; answers what each batch did."""
        used = {"database": self.ingest, "redis": self.redis} | clients
        batches = []
        while buckets := jobs.waiting(self.redis):
            for bucket in buckets:
                batch = ingest(bucket, **used)
                assert batch is not None
                batches.append(batch)
            assert len(batches) < 1000, "a stream does not get empty"
        return batches

    def rows(self) -> list[dict[str, Any]]:
        """The ledger with its charges, in the order of the calls."""
        return self.sql(
            "select u.*, c.price_ids, c.list_cost, c.billed_cost, c.event_id is not null as charged from usage_event u"
            " left join charge c using (workspace_id, occurred_at, event_id) order by occurred_at, event_id"
        )

    def rejects(self) -> list[dict[str, Any]]:
        return self.sql("select * from ingest_reject order by bucket, entry_id")

    def sql(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        return self.owner.execute(query.encode(), parameters).fetchall()

    def move(self, workspace_id: UUID, timezone: str) -> None:
        """Change a workspace's time zone; its rollups are not rebuilt by that."""
        self.owner.execute("update workspace set timezone = %s where workspace_id = %s", [timezone, workspace_id])

    def rollups(self) -> dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]:
        """Every rollup table: key → its sums."""
        found = {}
        for table in ROLLUPS.values():
            keys = [column.name for column in table.primary_key]
            rows = self.sql(f"select * from {table.name}")
            found[table.name] = {tuple(row[k] for k in keys): tuple(row[s] for s in SUMS) for row in rows}
        return found

    def rollups_from_rows(self) -> dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]:
        """The same, made here from the rows of the ledger by the slow and plain way."""
        zones = {
            row["workspace_id"]: row["timezone"] for row in self.sql("select workspace_id, timezone from workspace")
        }
        found: dict[str, Any] = {table.name: defaultdict(lambda: (0,) * len(SUMS)) for table in ROLLUPS.values()}
        for row in self.rows():
            in_zone = zone(zones[row["workspace_id"]])
            hour, day = local_hour_of(row["occurred_at"], in_zone), day_of(row["occurred_at"], in_zone)
            place = row | {
                "hour_start": hour,
                "day_start": day,
                "application_id": row["application_id"] or NO_APPLICATION,
            }
            for table in ROLLUPS.values():
                key = tuple(place[column.name] for column in table.primary_key)
                sums = found[table.name]
                sums[key] = tuple(a + b for a, b in zip(sums[key], _sums(row), strict=True))
        return {name: dict(sums) for name, sums in found.items()}


SUMS = (*COUNTS, *METERS, "list_cost", "billed_cost")


def _sums(row: Mapping[str, Any]) -> tuple[Any, ...]:
    counts = {
        "requests": 1,
        "failed": int(row["outcome"] not in ("done", "unsettled")),
        "provisional": int(row["state"] == "provisional"),
        "estimated": int(row["usage_source"] == "estimated"),
        "unpriced": int(row["billed_cost"] is None),
    }
    costs = (row["list_cost"] or Decimal(0), row["billed_cost"] or Decimal(0))
    return (*(counts[name] for name in COUNTS), *(row[meter] for meter in METERS), *costs)


def open_books(database: Any, redis_url: str) -> Books:
    owner = psycopg.connect(database.owner_url, autocommit=True, row_factory=dict_row)
    return Books(Redis.from_url(redis_url), owner, jobs.connect(database.ingest_url))


def recent() -> datetime:
    """Now, to the millisecond, as event ids hold it."""
    now = utc_now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
