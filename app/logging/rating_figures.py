"""How the nightly checks of the ledger ended, as the worker's jobs count them in Redis; read at scrape."""

from datetime import datetime
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from redis import Redis

CHECKS = "gateway:checks"
PASSED, FAILED = OUTCOMES = ("passed", "failed")


def count(redis: Redis, outcome: str, now: datetime) -> None:
    """Count one check that ended so."""
    redis.hincrby(CHECKS, outcome, 1)
    redis.hset(CHECKS, "last_s", int(now.timestamp()))


def read(redis: Redis) -> list[Metric]:
    """Ask Redis how many checks ended how, and when the last one did."""
    kept: Any = redis.hgetall(CHECKS)
    found = {name.decode(): float(value) for name, value in kept.items()}
    checks = CounterMetricFamily("gateway_ledger_checks", "Nightly checks of the ledger.", labels=["outcome"])
    for outcome in OUTCOMES:
        checks.add_metric([outcome], found.get(outcome, 0))
    last = GaugeMetricFamily(
        "gateway_ledger_check_timestamp_seconds", "When the last of them ended.", found.get("last_s", 0)
    )
    return [checks, last]
