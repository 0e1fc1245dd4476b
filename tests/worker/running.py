"""`worker.py` as it really runs, with a Valkey of its own."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from redis.exceptions import RedisError

from app.extensions import LEDGER_QUEUE
from deploy.local import embedded
from tests.billing.books import Books, open_books
from tests.gateway_process import ROOT, eventually


class Running:
    """The worker's processes, and the ledger that they write."""

    def __init__(self, database: Any, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.valkey = embedded.start_valkey(folder / "valkey", embedded.free_port())
        self.books: Books = open_books(database, self.valkey.url)
        self.log = folder / "worker.log"
        self.start()

    def start(self) -> None:
        """Start the worker and wait until its child takes jobs."""
        variables = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | {
            "DATABASE_URL": self.database.app_url,
            "DATABASE_INGEST_URL": self.database.ingest_url,
            "REDIS_URL": self.valkey.url,
            "SECRET_KEY": "a-secret-for-tests-of-enough-length",
            "OUTBOUND_PRIVATE": "allow",
            "GATEWAY_HOME": str(self.folder / "home"),
        }
        with self.log.open("ab") as output:
            options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            command = [sys.executable, "worker.py"]
            self.process = subprocess.Popen(command, cwd=ROOT, env=variables, start_new_session=True, **options)
        eventually(self.is_ready, 30)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        with contextlib.suppress(RedisError):
            return bool(self.books.redis.get("gateway:worker") and self.books.redis.smembers("rq:workers"))
        return False

    def child(self) -> psutil.Process:
        """The process that takes the ledger's jobs."""
        return eventually(lambda: [one for one in _children(psutil.Process(self.process.pid)) if _takes(one)], 10)[0]

    def horse(self) -> psutil.Process:
        """The process that works on a job."""
        return eventually(lambda: _children(self.child()), 10)[0]

    def long_horse(self) -> psutil.Process:
        """The process that works on a job that takes long."""
        return eventually(lambda: _children(psutil.Process(self.process.pid).children()[1]), 10)[0]

    def is_blocked(self) -> bool:
        """A job waits for a lock inside its transaction. Asked outside of the one that holds it, which sees old news."""
        row = self.books.ingest.execute(
            "select count(*) from pg_stat_activity where application_name = 'llm-gateway-worker'"
            " and wait_event_type = 'Lock' and datname = current_database()"
        ).fetchone()
        return bool(row and row[0])

    def is_told_to_stop(self) -> bool:
        """The children know, and have told their horses."""
        redis = self.books.redis
        return all(redis.hexists(key, "shutdown_requested_date") for key in redis.smembers("rq:workers"))

    def drained(self, count: int, limit_s: float = 15) -> None:
        """Wait until the ledger has `count` calls."""
        eventually(lambda: count <= self.books.sql("select count(*) from usage_event")[0]["count"], limit_s)

    def stop(self) -> None:
        family = _family(self.process.pid)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        for client in (self.books.redis, self.books.owner, self.books.ingest):
            client.close()
        self.valkey.stop()


def is_gone(process: psutil.Process) -> bool:
    """It ended, whether or not somebody has asked for its exit code."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def _takes(process: psutil.Process, queue: str = LEDGER_QUEUE) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.cmdline()[-1:] == [queue]
    return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(process.children())
    return []


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return []
