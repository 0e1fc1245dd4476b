"""What waits to be written to the ledger, and whether the worker is there to do it; read at scrape."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from redis import Redis
from rq import Queue

from app.units import BUCKETS, bucket_tag

HEARTBEAT = "gateway:worker"
HEARTBEAT_TTL_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The usage events of one bucket that are not in the ledger yet. `oldest` is None when there are none."""

    bucket: int
    events: int
    oldest: datetime | None


def read(redis: Redis) -> list[Metric]:
    """Ask Redis about all buckets: events waiting, age of the oldest one, intents whose lease ended, heartbeat."""
    seconds, micros = redis.time()
    asked = redis.pipeline(transaction=False)
    asked.get(HEARTBEAT)
    for bucket in range(BUCKETS):
        tag = bucket_tag(bucket)
        asked.xlen(f"{tag}:usage")
        asked.xrange(f"{tag}:usage", count=1)
        asked.zcount(f"{tag}:intents", "-inf", f"({seconds * 1000 + micros // 1000}")
    heartbeat, *counts = asked.execute()
    now_s = seconds + micros / 1e6
    return [*_ledger(counts, now_s), *_worker(heartbeat, now_s)]


def by_bucket(redis: Redis) -> list[Waiting]:
    """Ask Redis what waits in each of the buckets."""
    asked = redis.pipeline(transaction=False)
    for bucket in range(BUCKETS):
        asked.xlen(f"{bucket_tag(bucket)}:usage")
        asked.xrange(f"{bucket_tag(bucket)}:usage", count=1)
    found = asked.execute()
    return [
        Waiting(bucket=bucket, events=events, oldest=_instant(first[0][0]) if first else None)
        for bucket, (events, first) in enumerate(zip(found[0::2], found[1::2], strict=True))
    ]


def heartbeat(redis: Redis) -> datetime | None:
    """Tell when the worker last said that it runs; None: not within its heartbeat's life."""
    found: Any = redis.get(HEARTBEAT)
    return datetime.fromtimestamp(float(found), UTC) if found else None


def jobs(queue: Queue) -> list[Metric]:
    """Count the jobs of a queue that wait and that failed, without RQ's clean-up of them."""
    asked = queue.connection.pipeline(transaction=False)
    asked.llen(queue.key)
    asked.zcard(queue.failed_job_registry.key)
    waiting, failed = asked.execute()
    return [
        _by_queue("gateway_jobs_waiting", "Jobs that wait for the worker.", queue.name, waiting),
        _by_queue("gateway_jobs_failed", "Jobs that failed within the last hour.", queue.name, failed),
    ]


def _ledger(counts: Sequence[Any], now_s: float) -> list[Metric]:
    oldest_ms = [_milliseconds(first[0][0]) for first in counts[1::3] if first]
    age_s = max(0.0, now_s - min(oldest_ms) / 1000) if oldest_ms else 0.0
    return [
        GaugeMetricFamily("gateway_ingest_backlog_events", "Usage events not yet in the ledger.", sum(counts[0::3])),
        GaugeMetricFamily("gateway_ingest_backlog_age_seconds", "Age of the oldest of them.", age_s),
        *_by_bucket(counts[0::3], counts[1::3], now_s),
        GaugeMetricFamily("gateway_intents_expired", "Calls whose process died, not yet swept.", sum(counts[2::3])),
    ]


def _by_bucket(lengths: Sequence[int], firsts: Sequence[Any], now_s: float) -> list[Metric]:
    """The same for each bucket whose events wait; a bucket that is not shown has none."""
    events = GaugeMetricFamily("gateway_ingest_bucket_events", "Usage events of a bucket that wait.", labels=["bucket"])
    age = GaugeMetricFamily("gateway_ingest_bucket_age_seconds", "Age of the oldest of them.", labels=["bucket"])
    for bucket, (length, first) in enumerate(zip(lengths, firsts, strict=True)):
        if first:
            events.add_metric([f"b{bucket:02}"], length)
            age.add_metric([f"b{bucket:02}"], max(0.0, now_s - _milliseconds(first[0][0]) / 1000))
    return [events, age]


def _worker(heartbeat: bytes | None, now_s: float) -> list[Metric]:
    up = GaugeMetricFamily("gateway_worker_up", "1 while the worker sends its heartbeat.", 1 if heartbeat else 0)
    if heartbeat is None:
        return [up]
    age_s = max(0.0, now_s - float(heartbeat))
    return [up, GaugeMetricFamily("gateway_worker_heartbeat_age_seconds", "Time since the last heartbeat.", age_s)]


def _milliseconds(entry_id: bytes | str) -> int:
    return int((entry_id.decode() if isinstance(entry_id, bytes) else entry_id).split("-")[0])


def _instant(entry_id: bytes | str) -> datetime:
    return datetime.fromtimestamp(_milliseconds(entry_id) / 1000, UTC)


def _by_queue(name: str, text: str, queue: str, count: int) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=["queue"])
    metric.add_metric([queue], count)
    return metric
