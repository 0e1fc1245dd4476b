"""The gateway as it really runs: gunicorn, `worker.py` and a Valkey of its own, as child processes."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID

import httpx
import psutil
import psycopg
import redis
from psycopg.rows import dict_row

from app import create_app
from app.config import Settings
from app.extensions import db
from deploy.local import embedded

ROOT = Path(__file__).parents[1]
START_LIMIT_S = 40.0
STOP_LIMIT_S = 30.0
Found = TypeVar("Found")


def eventually(
    condition: Callable[[], Found | Literal[False] | None], limit_s: float = 10.0, *, every_s: float = 0.03
) -> Found:
    """Wait until the condition holds and answer its value; fail with its last value when time is up."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not so after {limit_s} s; last seen: {value!r}"
        time.sleep(every_s)
    return value


def close_app(app: Any) -> None:
    """Close what an in-process app has opened: the pools are not closed by its death."""
    with app.app_context():
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()
    for name in ("redis", "queue_redis"):
        app.extensions[name].close()


class Gateway:
    """One installation. `database` is a fresh one of the `servers` fixture."""

    def __init__(self, database: Any, folder: Path, *, workers: int = 1, environment: dict[str, str] | None = None):
        self.database, self.folder, self.workers = database, folder, workers
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.metrics_port, self.redis_port = (embedded.free_port() for _ in range(3))
        self.redis_url = f"redis://127.0.0.1:{self.redis_port}/0"
        self.url, self.metrics_url = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.metrics_port}/metrics"
        self.secret_key = secrets.token_hex(32)
        self.environment = self._environment() | (environment or {})
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        self.redis = redis.Redis.from_url(self.redis_url, decode_responses=True)
        self.app = create_app(Settings.read(self.environment))
        self.valkey = embedded.start_valkey(folder / "valkey", self.redis_port)
        self.start()

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return kept | {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "METRICS_PORT": str(self.metrics_port),
            "WEB_WORKERS": str(self.workers),
            "GATEWAY_HOME": str(self.folder),
            "DATABASE_URL": self.database.app_url,
            "DATABASE_OWNER_URL": self.database.owner_url,
            "DATABASE_INGEST_URL": self.database.ingest_url,
            "REDIS_URL": self.redis_url,
            "SECRET_KEY": self.secret_key,
            "PYTHONUNBUFFERED": "1",
        }

    # Life and death.

    def start(self) -> None:
        """Start both programs and wait until they are ready."""
        self.start_web()
        self.start_worker()
        try:
            eventually(self._is_ready, START_LIMIT_S)
        except BaseException:
            self.stop()
            raise

    def start_web(self) -> None:
        self.web = self._spawn("web.log", "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app")

    def start_worker(self) -> None:
        self.worker = self._spawn("worker.log", "worker.py")

    def _spawn(self, log: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _is_ready(self) -> bool:
        for process, log in ((self.web, "web.log"), (self.worker, "worker.log")):
            assert process.poll() is None, f"it ended: {(self.folder / log).read_text()[-3000:]}"
        with contextlib.suppress(httpx.TransportError, redis.RedisError):
            return self.client.get("/readyz", timeout=2).status_code == 200 and bool(self.redis.get("gateway:worker"))
        return False

    def stop(self) -> None:
        """Stop everything, in order; nothing is left behind."""
        children = [child for process in (self.web, self.worker) for child in _family(process.pid)]
        for process in (self.web, self.worker):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in (self.web, self.worker):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_LIMIT_S)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.client.close()
        self.redis.close()
        close_app(self.app)
        self.valkey.stop()

    def web_workers(self) -> list[int]:
        """Process ids of gunicorn's workers."""
        return [child.pid for child in psutil.Process(self.web.pid).children()]

    def rq_worker(self) -> int:
        """Process id of the child of `worker.py` that takes jobs."""
        return int(eventually(lambda: psutil.Process(self.worker.pid).children())[0].pid)

    def horse(self) -> int | None:
        """Process id of the job being worked on now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.rq_worker()).children():
                return int(child.pid)
        return None

    @contextlib.contextmanager
    def redis_frozen(self) -> Iterator[None]:
        """Redis accepts connections and answers nothing."""
        self.valkey.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.valkey.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def redis_killed(self) -> Iterator[None]:
        """Redis is dead; afterwards it is back on its old port with its old data."""
        self.valkey.process.kill()
        self.valkey.process.wait()
        try:
            yield
        finally:
            self.valkey = embedded.start_valkey(self.folder / "valkey", self.redis_port)

    # Looking inside.

    @contextlib.contextmanager
    def services(self) -> Iterator[Any]:
        """Call services in this process, on the gateway's database and Redis."""
        with self.app.app_context():
            yield self.app
            db.session.remove()

    def sql(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """Ask as the cluster's superuser, whom row-level security does not bind."""
        with psycopg.connect(self.database.owner_url, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def rows(self, key_id: UUID) -> list[dict[str, Any]]:
        """The usage rows of a key with their charges, oldest first."""
        return self.sql(
            "select u.*, c.list_cost, c.billed_cost from usage_event u"
            " left join charge c using (workspace_id, occurred_at, event_id)"
            " where u.key_id = %s order by u.occurred_at, u.event_id",
            key_id,
        )

    def settled(self, count: int, key: Any, limit_s: float = 15.0) -> list[dict[str, Any]]:
        """Wait until a key has `count` usage rows, all settled, and answer them."""

        def found() -> list[dict[str, Any]]:
            rows = self.rows(key.key_id)
            return rows if len(rows) >= count and all(row["state"] == "settled" for row in rows) else []

        rows = eventually(found, limit_s)
        assert count == len(rows)
        return rows

    def usage(self, key: Any, **query: str) -> dict[str, Any]:
        """What `GET /v1/usage` says."""
        answer = self.client.get("/v1/usage", params=query, headers=key.headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def log_text(self) -> str:
        """All that both programs have logged."""
        return "".join((self.folder / name).read_text(errors="replace") for name in ("web.log", "worker.log"))

    def intents(self) -> list[str]:
        """Event ids of the calls in flight."""
        names = self.redis.scan_iter(match="{b*}:intents")
        return [str(member) for name in names for member in self.redis.zrange(name, 0, -1)]


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return []
