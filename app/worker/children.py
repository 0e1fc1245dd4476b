"""The worker's children: forking RQ workers, `worker.py --jobs`, one for the ledger and one for what takes long."""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from redis import Redis
from rq import Queue, Worker
from rq.serializers import JSONSerializer

from app.billing import jobs
from app.config import Settings
from app.extensions import LEDGER_QUEUE
from app.worker.chores import pause_s

STOP_LIMIT_S = 6.0
"""How long the children may take to end; the whole worker has 10 s."""
STEADY_S = 10.0
"""A child that lived this long did not fail at its start."""
QUEUE_TTL_S = 60
PR_SET_PDEATHSIG = 1
FLAG = "--jobs"

log = logging.getLogger("worker")


class Child:
    """A process that takes the jobs of one queue, started again when it ends, after growing pauses."""

    def __init__(self, program: Path, queue: str) -> None:
        self.program, self.queue = program, queue
        self.process: subprocess.Popen[bytes] | None = None
        self.started_s = self.due_s = 0.0
        self.failures = 0

    def keep(self, now_s: float) -> None:
        """Start it when it does not run and its pause is over."""
        if self.process and self.process.poll() is not None:
            log.warning("a child that takes jobs ended", extra={"queue": self.queue, "code": self.process.returncode})
            self.failures = 0 if now_s - self.started_s > STEADY_S else self.failures + 1
            self.due_s = now_s + pause_s(self.failures)
            self.process = None
        if self.process is None and now_s >= self.due_s:
            self.started_s = now_s
            # A session of its own: Ctrl-C reaches the parent only, which stops its children in order.
            command = [sys.executable, str(self.program), FLAG, str(os.getpid()), self.queue]
            self.process = subprocess.Popen(command, start_new_session=True)  # noqa: S603  # our own file

    def wait(self, limit_s: float) -> None:
        """Let it finish its batch; kill it and its horse when that takes too long: the transaction is then undone."""
        if self.process is None:
            return
        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            for horse in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    horse.kill()
            self.process.kill()
            self.process.wait()


def stop(children: list[Child]) -> None:
    """Tell all to stop, and wait until they have."""
    deadline_s = time.monotonic() + STOP_LIMIT_S
    for child in children:
        if child.process:
            child.process.terminate()
    for child in children:
        child.wait(max(0.1, deadline_s - time.monotonic()))


class JobWorker(Worker):
    """RQ's worker. Told to stop, it tells its horse to end after the running batch."""

    job_class = jobs.OurJob
    max_connection_wait_time = 2.0

    def setup_work_horse_signals(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, jobs.stop_soon)

    def handle_warm_shutdown_request(self) -> None:
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        if self.horse_pid:
            self.kill_horse(signal.SIGTERM)


def take_jobs(parent: int, queue: str) -> None:
    """Be a child: work on the jobs of a queue until told to stop, or until the parent is gone."""
    _die_with(parent)
    settings = Settings.read()
    connection = Redis.from_url(settings.queue_redis_url or settings.redis_url)
    queues = [open_queue(connection, queue)]
    worker = JobWorker(queues, connection=connection, serializer=JSONSerializer, worker_ttl=QUEUE_TTL_S)
    worker.log_job_description = False
    worker.work(logging_level="WARNING")


def open_queue(connection: Redis, name: str = LEDGER_QUEUE) -> Queue:
    """Open a queue of jobs that are only our own functions."""
    return Queue(name, connection=connection, serializer=JSONSerializer, job_class=jobs.OurJob)


def _die_with(parent: int) -> None:
    """Have the kernel send SIGTERM when the parent dies, kill -9 included; elsewhere than on Linux it does not."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)
