"""The counters of the line, right over all processes of a node; `scrape` shows them.

With `PROMETHEUS_MULTIPROC_DIR` set before this module is imported (gunicorn's configuration does),
every process keeps its figures in files there and a scrape adds them up. Labels are bounded: no
key, user, workspace or model ever is one. A counter is a float; the exact money is in the ledger.
"""

import logging
from bisect import bisect_left
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess

REGISTRY = CollectorRegistry()

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
CHILD_LIMIT = 200
"""Label sets of one metric; whatever comes after is counted as `other`, so that a slip cannot fill memory."""

log = logging.getLogger(__name__)

_requests = Counter(
    "gateway_requests",
    "Admitted calls that ended.",
    ("route", "status_class", "outcome"),
    registry=REGISTRY,
)
_seconds = Histogram(
    "gateway_request_seconds", "Time from request to end of answer.", registry=REGISTRY, buckets=SECONDS
)
_first_byte = Histogram(
    "gateway_first_byte_seconds",
    "Time from request to the first byte of the answer.",
    registry=REGISTRY,
    buckets=SECONDS,
)
_tokens = Counter("gateway_tokens", "Tokens used, by meter.", ("meter",), registry=REGISTRY)
_cost = Counter("gateway_cost_dollars", "List price of the calls; the ledger has it exactly.", registry=REGISTRY)
_errors = Counter("gateway_errors", "Calls that ended in an error, by our code.", ("code",), registry=REGISTRY)
_refusals = Counter("gateway_refusals", "Calls refused before any upstream, by our code.", ("code",), registry=REGISTRY)
_break_glass = Counter(
    "gateway_break_glass_sign_ins",
    "Local accounts that signed in while single sign-on is required.",
    registry=REGISTRY,
)
_in_flight = Gauge("gateway_calls_in_flight", "Calls being served now.", registry=REGISTRY, multiprocess_mode="livesum")
_pending = Gauge(
    "gateway_settlements_pending",
    "Settlements that Redis has not acknowledged.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
_spooled = Gauge(
    "gateway_settlements_spooled",
    "Settlements that only this node's disk has: Redis is away, or its stream is full.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
_spool_failures = Counter("gateway_spool_failures", "Times the disk did not take settlements.", registry=REGISTRY)

_request_children: dict[tuple[str, int, str], Any] = {}
_children: dict[tuple[Any, str], Any] = {}
_tally: dict[Any, float] = {}
"""What was counted since the last `publish`: each write to the shared files costs more than counting."""


def call_ended(  # noqa: PLR0913  # one call, one line: a value object would cost more than the counters
    *,
    route: str,
    status: int,
    outcome: str,
    error_code: str | None = None,
    seconds: float,
    first_byte_s: float | None = None,
    meters: Mapping[str, int] | None = None,
    cost_usd: Decimal | None = None,
) -> None:
    """Count a call that ended. `route` is the route's pattern, `outcome` one of the terminal states."""
    known = (route, status // 100, outcome)
    _count(_request_children.get(known) or _request_child(known))
    _observe(_seconds, seconds)
    if first_byte_s is not None:
        _observe(_first_byte, first_byte_s)
    if meters:
        for meter, count in meters.items():
            _count(_children.get((_tokens, meter)) or _child(_tokens, meter), count)
    if cost_usd:
        _count(_cost, float(cost_usd))
    if error_code:
        _count(_children.get((_errors, error_code)) or _child(_errors, error_code))


def refused(code: str) -> None:
    """Count a refusal by its code: rate limit, unknown key, malformed request."""
    _count(_children.get((_refusals, code)) or _child(_refusals, code))


def break_glass_sign_in() -> None:
    """Count a sign-in that somebody should know of. Not tallied: a console's process never publishes."""
    _break_glass.inc()


def spool_failed() -> None:
    """Count that the disk did not take settlements."""
    _spool_failures.inc()


def publish(*, calls_in_flight: int, settlements_pending: int, settlements_spooled: int = 0) -> None:
    """Show what was counted since the last time, and how things stand; the line does so once a second."""
    while _tally:
        counter, amount = _tally.popitem()
        counter.inc(amount)
    _in_flight.set(calls_in_flight)
    _pending.set(settlements_pending)
    _spooled.set(settlements_spooled)


def _observe(histogram: Histogram, seconds: float) -> None:
    """Count one duration. `Histogram.observe` would write two figures to the shared file each time."""
    _count(histogram._buckets[bisect_left(SECONDS, seconds)])  # noqa: SLF001 - it has no way to add several at once
    _count(histogram._sum, seconds)  # noqa: SLF001


def _count(counter: Any, amount: float = 1) -> None:
    _tally[counter] = _tally.get(counter, 0) + amount


def worker_gone(pid: int) -> None:
    """Forget the gauges of a process that ended; gunicorn's `child_exit` calls it."""
    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _request_child(known: tuple[str, int, str]) -> Any:
    """Find the child of a label set, and keep it: resolving labels costs as much as counting."""
    route, status_class, outcome = known if len(_request_children) < CHILD_LIMIT else ("other", known[1], "other")
    child = _requests.labels(route, f"{status_class}xx", outcome)
    if len(_request_children) < CHILD_LIMIT:
        _request_children[known] = child
    return child


def _child(metric: Counter, label: str) -> Any:
    if len(_children) >= CHILD_LIMIT:
        return metric.labels("other")
    child = _children[metric, label] = metric.labels(label)
    return child
