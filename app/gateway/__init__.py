"""GATEWAY: one proxied request, from a client's bytes to a settled usage event.

The parts of a worker that outlive a request start in `start`, once in each worker.
"""

from app.config import Settings
from app.crypto import Vault
from app.gateway import process
from app.gateway.snapshot import AppContext
from app.logging import readiness

_running: list[process.Process] = []


def start(settings: Settings, vault: Vault, app_context: AppContext) -> process.Process:
    """Start what the line needs in this worker: the Redis connection, the refresher, the watcher."""
    running = process.start(settings, vault, app_context)
    _running.append(running)
    readiness.declare(readiness.STARTING, lambda: running.refresher.is_loaded)
    readiness.declare(readiness.DRAINING, lambda: not running.draining)
    return running


def drain() -> None:
    """Stop taking traffic; open streams may go on up to their limit."""
    for running in _running:
        running.drain()


def finish() -> int:
    """Wait until Redis has acknowledged every settlement; return how many it has not."""
    return sum(running.finish() for running in _running)
