"""What `/metrics` shows: the line's counters, and readings taken at the moment of the scrape.

A reading that breaks or hangs is left out and says so in `gateway_reading_up`; it never fails the
scrape.
"""

import logging
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.logging import asking, metrics

CONTENT_TYPE = CONTENT_TYPE_LATEST
WAIT_S = 1.5

Reading = Callable[[], list[Metric]]

log = logging.getLogger(__name__)


def render(readings: Mapping[str, Reading]) -> bytes:
    """Write the page for Prometheus. `readings` are functions the caller keeps, not made per scrape."""
    line, answered = _line(), asking.ask_all(readings, WAIT_S)
    up = GaugeMetricFamily("gateway_reading_up", "1 when the figures of this source are here.", labels=["reading"])
    for name, is_here in {"line": bool(line), **{name: name in answered for name in readings}}.items():
        up.add_metric([name], 1 if is_here else 0)
    page = CollectorRegistry()
    page.register(_Taken([up, *(metric for taken in answered.values() for metric in taken)]))
    return line + generate_latest(page)


def _line() -> bytes:
    """Write the counters of all processes, or of this one where there is only this one."""
    try:
        return generate_latest(_counters())
    except Exception as error:  # noqa: BLE001  # a torn file of a killed process must not hide the readings
        log.warning("the line's counters could not be read", extra={"cause": type(error).__name__})
        return b""


def _counters() -> CollectorRegistry:
    try:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:
        return metrics.REGISTRY
    return registry


class _Taken(Collector):
    """Hands on what has been read already."""

    def __init__(self, taken: list[Metric]) -> None:
        self._taken = taken

    def collect(self) -> Iterable[Metric]:
        return self._taken
