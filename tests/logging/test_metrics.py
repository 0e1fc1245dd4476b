import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from app.logging import metrics, scrape


def samples(page: bytes | None = None) -> dict[tuple[str, ...], float]:
    """The figures on the page: name and label values → value."""
    if page is None:
        publish()
    text = (scrape.render({}) if page is None else page).decode()
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def publish(calls_in_flight: int = 0, settlements_pending: int = 0) -> None:
    metrics.publish(calls_in_flight=calls_in_flight, settlements_pending=settlements_pending)


def grown(before: Mapping[tuple[str, ...], float], *name: str) -> float:
    return samples().get(name, 0.0) - before.get(name, 0.0)


def end_call(**changes: object) -> None:
    values = {"route": "/v1/chat/completions", "status": 200, "outcome": "done", "seconds": 0.2} | changes
    metrics.call_ended(**values)  # type: ignore[arg-type]


def test_a_call_is_counted_once_everywhere() -> None:
    before = samples()

    end_call(first_byte_s=0.03, meters={"input": 10, "output": 100}, cost_usd=Decimal("0.00021"))

    route = ("outcome=done", "route=/v1/chat/completions", "status_class=2xx")
    assert grown(before, "gateway_requests_total", *route) == 1
    assert grown(before, "gateway_request_seconds_count") == 1
    assert grown(before, "gateway_request_seconds_sum") == pytest.approx(0.2)
    assert grown(before, "gateway_first_byte_seconds_bucket", "le=0.05") == 1
    assert grown(before, "gateway_first_byte_seconds_bucket", "le=0.025") == 0
    assert tuple(grown(before, "gateway_tokens_total", f"meter={m}") for m in ("input", "output")) == (10, 100)
    assert grown(before, "gateway_cost_dollars_total") == pytest.approx(0.00021)


def test_a_failed_call_counts_its_error() -> None:
    before = samples()

    end_call(status=504, outcome="timeout", error_code="provider_timeout")

    assert grown(before, "gateway_errors_total", "code=provider_timeout") == 1
    route = ("outcome=timeout", "route=/v1/chat/completions", "status_class=5xx")
    assert grown(before, "gateway_requests_total", *route) == 1


def test_a_refusal_is_counted_by_its_code() -> None:
    before = samples()

    metrics.refused("policy_rate_limited")

    assert grown(before, "gateway_refusals_total", "code=policy_rate_limited") == 1


def test_nothing_is_shown_twice() -> None:
    metrics.refused("policy_rate_limited")
    before = samples()

    publish()
    publish()

    assert grown(before, "gateway_refusals_total", "code=policy_rate_limited") == 0


def test_gauges_are_what_was_said_last() -> None:
    publish(calls_in_flight=7, settlements_pending=3)
    publish(calls_in_flight=1, settlements_pending=2)

    page = samples(scrape.render({}))
    assert (page["gateway_calls_in_flight",], page["gateway_settlements_pending",]) == (1, 2)


def test_made_up_codes_do_not_fill_memory() -> None:
    program = """
from app.logging import metrics, scrape
for number in range(5 * metrics.CHILD_LIMIT):
    metrics.refused(f"code_{number}")
    metrics.call_ended(route=f"/{number}", status=404, outcome="done", seconds=0.1)
metrics.publish(calls_in_flight=0, settlements_pending=0)
print(scrape.render({}).decode())
"""
    page = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=30, check=True).stdout

    found = samples(page)
    assert len(found) < 900  # of 2,000; each has its value and the time it was made
    assert found[("gateway_refusals_total", "code=other")] == 800
    assert found[("gateway_requests_total", "outcome=other", "route=other", "status_class=4xx")] == 800


def test_figures_of_several_processes_are_added_and_a_dead_ones_gauge_is_dropped(tmp_path: Path) -> None:
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    count = """
from app.logging import metrics
metrics.call_ended(route="/v1/chat/completions", status=200, outcome="done", seconds=0.1, meters={"input": 5})
metrics.publish(calls_in_flight=1, settlements_pending=0)
import os; print(os.getpid())
"""
    pids = [run(count, environment) for _ in range(2)]

    both = samples(run("from app.logging import scrape; print(scrape.render({}).decode())", environment).encode())
    gone = (
        f"from app.logging import metrics, scrape; metrics.worker_gone({pids[0]}); print(scrape.render({{}}).decode())"
    )
    one = samples(run(gone, environment).encode())

    assert (both[("gateway_tokens_total", "meter=input")], both[("gateway_calls_in_flight",)]) == (10, 2)
    assert (one[("gateway_tokens_total", "meter=input")], one[("gateway_calls_in_flight",)]) == (10, 1)


def run(program: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment, timeout=30, check=True
    )
    return done.stdout.decode()


def one(name: str) -> list[Metric]:
    return [GaugeMetricFamily(name, "A figure.", 7)]


def test_a_broken_and_a_hanging_reading_leave_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "WAIT_S", 0.2)
    released = threading.Event()

    def broken() -> list[Metric]:
        raise OSError("away")

    def hanging() -> list[Metric]:
        released.wait(30)
        return []

    page = samples(scrape.render({"fine": lambda: one("gateway_fine"), "broken": broken, "hanging": hanging}))
    released.set()

    up = {name: page[("gateway_reading_up", f"reading={name}")] for name in ("fine", "broken", "hanging")}
    assert up == {"fine": 1, "broken": 0, "hanging": 0}
    assert page[("gateway_fine",)] == 7


def test_a_torn_file_of_a_killed_process_does_not_hide_the_readings(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").write_bytes(struct.pack("iii", 64, 0, 10_000) + bytes(52))
    program = """
from prometheus_client.core import GaugeMetricFamily
from app.logging import scrape
print(scrape.render({"fine": lambda: [GaugeMetricFamily("gateway_fine", "A figure.", 7)]}).decode())
"""
    page = run(program, {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})

    found = samples(page.encode())
    assert [found["gateway_reading_up", f"reading={name}"] for name in ("line", "fine")] == [0, 1]
    assert found["gateway_fine",] == 7
