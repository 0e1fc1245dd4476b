from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import Metric
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from app import extensions
from app.logging import backlog, node
from app.units import bucket_of, bucket_tag, new_id

WORKSPACE = UUID("0192f0e4-0000-7000-8000-000000000007")
pytestmark = pytest.mark.usefixtures("app")
TAG = bucket_tag(bucket_of(WORKSPACE))


def figures(metrics: list[Metric]) -> dict[str, float]:
    return {sample.name: sample.value for metric in metrics for sample in metric.samples}


def test_an_empty_redis_has_no_backlog_and_no_worker() -> None:
    found = figures(backlog.read(extensions.redis()))

    names = ("gateway_ingest_backlog_events", "gateway_ingest_backlog_age_seconds", "gateway_worker_up")
    assert tuple(found[name] for name in names) == (0, 0, 0)
    assert "gateway_worker_heartbeat_age_seconds" not in found


def test_the_backlog_counts_all_buckets_and_has_the_age_of_the_oldest_event() -> None:
    redis = extensions.redis()
    now_ms = int(redis.time()[0]) * 1000
    redis.xadd(f"{TAG}:usage", {"e": "{}"}, id=f"{now_ms - 60_000}-0")
    redis.xadd(f"{TAG}:usage", {"e": "{}"}, id=f"{now_ms - 5_000}-0")
    redis.xadd(f"{bucket_tag(63)}:usage", {"e": "{}"}, id=f"{now_ms - 7_000}-0")

    found = figures(backlog.read(redis))

    assert found["gateway_ingest_backlog_events"] == 3
    assert found["gateway_ingest_backlog_age_seconds"] == pytest.approx(60, abs=3)


def test_an_intent_counts_once_its_lease_has_ended() -> None:
    redis = extensions.redis()
    now_ms = int(redis.time()[0]) * 1000
    redis.zadd(f"{TAG}:intents", {str(new_id()): now_ms - 1_000, str(new_id()): now_ms + 45_000})

    assert figures(backlog.read(redis))["gateway_intents_expired"] == 1


def test_the_workers_heartbeat_has_an_age() -> None:
    redis = extensions.redis()
    redis.set(backlog.HEARTBEAT, int(redis.time()[0]) - 12)

    found = figures(backlog.read(redis))

    assert found["gateway_worker_up"] == 1
    assert found["gateway_worker_heartbeat_age_seconds"] == pytest.approx(12, abs=3)


def test_jobs_that_wait_and_jobs_that_failed_are_counted() -> None:
    queue: Queue = extensions.queue()
    queue.enqueue("builtins.int", "no number")
    SimpleWorker([queue], connection=queue.connection, serializer=JSONSerializer).work(burst=True)
    queue.enqueue("builtins.int", "1")

    found = figures(backlog.jobs(queue))

    assert (found["gateway_jobs_waiting"], found["gateway_jobs_failed"]) == (1, 1)


def test_the_node_is_read_even_before_its_folder_exists(tmp_path: Path) -> None:
    found = figures(node.read(tmp_path / "not" / "yet"))

    assert all(found[f"gateway_node_{name}_bytes"] > 0 for name in ("memory", "memory_available", "disk", "disk_free"))
    assert found["gateway_node_cpu_seconds_total"] >= 0
    assert "gateway_node_load1" in found
