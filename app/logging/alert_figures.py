"""What became of alerts, as the worker's courier counts it in Redis; read at scrape."""

from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from redis import Redis

DELIVERIES = "gateway:deliveries"
BUDGETS = "gateway:budgets"
OUTCOMES = ("sent", "retried", "failed")


def read(redis: Redis) -> list[Metric]:
    """Ask Redis what was sent, retried and given up, what waits and for how long, and how many alerts budgets gave."""
    kept: Any = redis.hgetall(DELIVERIES)
    sent = {name.decode(): float(value) for name, value in kept.items()}
    alerts: Any = redis.hget(BUDGETS, "alerts")
    attempts = CounterMetricFamily("gateway_delivery_attempts", "Attempts to deliver an alert.", labels=["outcome"])
    for outcome in OUTCOMES:
        attempts.add_metric([outcome], sent.get(outcome, 0))
    return [
        attempts,
        GaugeMetricFamily("gateway_deliveries_waiting", "Alerts that are not delivered yet.", sent.get("waiting", 0)),
        GaugeMetricFamily("gateway_deliveries_oldest_seconds", "Age of the oldest of them.", sent.get("oldest_s", 0)),
        CounterMetricFamily("gateway_budget_alerts", "Thresholds of budgets that were reached.", float(alerts or 0)),
    ]
