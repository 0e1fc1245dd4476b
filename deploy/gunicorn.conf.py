# ruff: noqa: N999  # gunicorn chose the name
"""How gunicorn serves the gateway: `gunicorn -c deploy/gunicorn.conf.py wsgi:app`.

The master imports the code, so that workers start at once and share its memory. It opens no
connection: each worker makes its own in `post_worker_init`.
"""

from gevent import monkey

monkey.patch_all()

# Nothing may be imported before the patch.
import contextlib  # noqa: E402
import gc  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import shutil  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gunicorn import glogging  # noqa: E402
from gunicorn.workers.ggevent import GeventWorker  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
DRAIN_LIMIT_S = 120
IDLE_BEFORE_CLOSING_S = 1.0
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


def _metrics_folder() -> None:
    """Give the counters of all processes an empty folder; a reload keeps the figures of those that run."""
    folder = str(Path(os.environ.get("GATEWAY_HOME") or ROOT / "var").absolute() / "metrics")
    if os.environ.get(MULTIPROCESS) != folder:
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700)
        os.environ[MULTIPROCESS] = folder


def _allow_many_connections() -> None:
    """Raise the number of open files to what the system grants: each call takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1_048_576
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_allow_many_connections()
_metrics_folder()  # The counters look for it when they are imported.
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from app import gateway  # noqa: E402
from app.config import InvalidSettings, Settings  # noqa: E402
from app.gateway import api  # noqa: E402
from app.logging import metrics, process_log  # noqa: E402

try:
    settings = Settings.read()
except InvalidSettings as invalid:
    sys.exit(str(invalid))

metrics_port = settings.metrics_port
if not metrics_port:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        metrics_port = free.getsockname()[1]
    os.environ["METRICS_PORT"] = str(metrics_port)  # The workers compare it with the socket a scrape comes in on.


class DrainingWorker(GeventWorker):
    """gunicorn's gevent worker that, on SIGTERM, tells the gateway first and lets idle connections go.

    Left alone, a connection that a client keeps open between two calls would hold a stopping
    worker for as long as `keepalive`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle_since: dict[socket.socket, float] = {}

    def handle_exit(self, sig: int, frame: Any) -> None:
        # A signal handler may not wait, so the drain has a greenlet of its own.
        gevent.spawn(self._drain)
        super().handle_exit(sig, frame)

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        self._idle_since[client] = time.monotonic()
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle_since.pop(client, None)

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> Any:
        """Remember since when a connection waits for its next request: it does not during one."""
        self._idle_since.pop(sock, None)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        finally:
            self._idle_since[sock] = time.monotonic()

    def _drain(self) -> None:
        gateway.drain()
        while True:
            before = time.monotonic() - IDLE_BEFORE_CLOSING_S
            for client in [client for client, since in self._idle_since.items() if since < before]:
                # Reading ends, writing does not: a request that came this very moment is still answered.
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RD)
            gevent.sleep(0.2)


class Logger(glogging.Logger):
    """gunicorn's logger without its access log, which it would write whenever its logging is configured."""

    def access(self, *_: Any, **__: Any) -> None:
        """Nothing: the gateway writes one line for each call itself."""


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


bind = [_at(settings.host, settings.port), _at("127.0.0.1", metrics_port)]
chdir = str(ROOT)
workers = settings.web_workers
worker_class = DrainingWorker
worker_connections = 12_000
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # a heartbeat must not wait for a disk
timeout = 60  # A worker that did not turn its loop for this long is replaced; calls may last longer.
graceful_timeout = DRAIN_LIMIT_S + 10
keepalive = 75
forwarded_allow_ips = ",".join(settings.trusted_proxies.with_mapped().texts())
control_socket_disable = True
accesslog = None
logger_class = Logger
logconfig_dict = process_log.LOGGING


def on_starting(_server: Any) -> None:
    """Say errors of the master in the same form as all else."""
    process_log.configure()


def post_worker_init(worker: Any) -> None:
    """Give each worker its own catalogue, keys and connections, after the fork.

    What is loaded by now stays, so the garbage collector need not go through it again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    if settings.role in {"all", "proxy"}:
        api.start(worker.wsgi)


def child_exit(_server: Any, worker: Any) -> None:
    """Take a dead worker's gauges out of the sums."""
    metrics.worker_gone(worker.pid)


def worker_exit(_server: Any, _worker: Any) -> None:
    """Wait for Redis to acknowledge what this worker settled; what it does not, the sweeper accounts for."""
    gateway.finish()
