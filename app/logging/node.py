"""What the machine has left: processor, load, memory and disk, read at scrape."""

import os
from pathlib import Path

import psutil
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

MODES = ("user", "system", "idle", "iowait")


def read(home: Path) -> list[Metric]:
    """Read the node's figures; `home` is the folder whose disk counts."""
    times, memory = psutil.cpu_times(), psutil.virtual_memory()
    disk = psutil.disk_usage(str(_nearest(home)))
    cpu = CounterMetricFamily("gateway_node_cpu_seconds", "Processor time of the node since boot.", labels=["mode"])
    for mode in MODES:
        cpu.add_metric([mode], getattr(times, mode, 0.0))
    return [
        cpu,
        GaugeMetricFamily("gateway_node_load1", "Processes that want to run, mean of a minute.", os.getloadavg()[0]),
        GaugeMetricFamily(
            "gateway_node_memory_available_bytes", "Memory that programs can still get.", memory.available
        ),
        GaugeMetricFamily("gateway_node_memory_bytes", "Memory of the node.", memory.total),
        GaugeMetricFamily("gateway_node_disk_free_bytes", "Free space where GATEWAY_HOME lies.", disk.free),
        GaugeMetricFamily("gateway_node_disk_bytes", "Size of the disk where GATEWAY_HOME lies.", disk.total),
    ]


def _nearest(folder: Path) -> Path:
    """Find the folder itself or the first one above it that exists."""
    return next((f for f in (folder, *folder.parents) if f.exists()), Path("/"))
