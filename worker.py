"""The worker: `python worker.py`. Takes usage into the ledger, keeps the audit trail, sweeps dead calls, repeats revisions.

One plain loop looks at everything in turn; a child of it, `worker.py --jobs`, is a forking RQ
worker. Nothing is kept here: what could not be done is done on a later turn.
"""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import psutil
import psycopg
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.serializers import JSONSerializer

from app.billing import jobs, partitions, rollup_zones
from app.config import InvalidSettings, Settings
from app.extensions import LEDGER_QUEUE, connect_redis
from app.gateway import intents
from app.logging import process_log, trail
from app.units import utc_now
from app.workspace import revisions

TICK_S = 0.25
HEARTBEAT = "gateway:worker"
HEARTBEAT_TTL_S = 30
LONGEST_PAUSE_S = 5.0
SQL_LIMIT_S = 3.0
STOP_LIMIT_S = 6.0
"""How long the child may take to end; the whole worker has 10 s."""
STEADY_S = 10.0
"""A child that lived this long did not fail at its start."""
FAILED_LATELY_S = 10.0
QUEUE_TTL_S = 60
PR_SET_PDEATHSIG = 1

log = logging.getLogger("worker")


class JobsFail(Exception):
    """Data waits for the ledger, and the last job failed."""


class Chore:
    """Something done every `every_s` seconds; while it fails, after growing pauses. Says so once each time it changes."""

    def __init__(self, name: str, every_s: float, work: Callable[[], object]) -> None:
        self.name, self.every_s, self.work = name, every_s, work
        self.due_s = 0.0
        self.failures = 0

    def turn(self, now_s: float) -> None:
        """Do it when it is due. Errors of the database, Redis and the jobs stay here."""
        if now_s < self.due_s:
            return
        try:
            self.work()
        except (RedisError, psycopg.Error, OSError, JobsFail) as error:
            if not self.failures:
                log.warning("%s fails", self.name, extra={"cause": type(error).__name__})
            self.failures += 1
            self.due_s = now_s + min(LONGEST_PAUSE_S, TICK_S * 2**self.failures)
            return
        if self.failures:
            log.info("%s works again", self.name)
        self.failures = 0
        self.due_s = now_s + self.every_s


class Database:
    """One connection as `gateway_ingest`, opened anew after it broke."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: psycopg.Connection | None = None

    @contextlib.contextmanager
    def open(self) -> Iterator[psycopg.Connection]:
        """Lend the connection for at most 3 s, a frozen server included; after an error it is closed."""
        try:
            with _time_limit(SQL_LIMIT_S):
                self.connection = self.connection or jobs.connect(self.url)
                yield self.connection
        except BaseException:
            if self.connection:
                self.connection.close()
            self.connection = None
            raise


class Loop:
    """The main process: its chores and its child."""

    def __init__(self, settings: Settings) -> None:
        self.redis = connect_redis(settings.redis_url)
        self.queue = _queue(connect_redis(settings.queue_redis_url or settings.redis_url))
        self.database = Database(settings.database_ingest_url)
        self.stopping = self.zone_changed = False
        self.child = Child()
        self.chores = [
            Chore("taking usage into the ledger", TICK_S, self.enqueue),
            Chore("writing the audit trail", TICK_S, self.enqueue_trail),
            Chore("the heartbeat", 5.0, self.beat),
            Chore("repeating revisions", 1.0, self.repeat_revisions),
            Chore("sweeping calls of dead processes", 5.0, lambda: intents.sweep(self.redis)),
            Chore("deleting old failed jobs", 5.0, lambda: jobs.forget_failures(self.queue)),
            Chore("looking for changed time zones", 5.0, self.look_at_zones),
            Chore("making partitions", 3600.0, self.make_partitions),
        ]

    def run(self) -> None:
        """Go round until a signal says stop, then stop the child."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self.stopping:
            for chore in self.chores:
                if not self.stopping:
                    chore.turn(time.monotonic())
            self.child.keep(time.monotonic())
            time.sleep(TICK_S)
        self.child.stop()

    def enqueue(self) -> None:
        """Have a job take what waits; raise `JobsFail`, for a longer pause, while jobs fail and data stays."""
        if self.zone_changed and jobs.enqueue(self.queue, jobs.rebuild_outdated):
            self.zone_changed = False
        if not jobs.waiting(self.redis):
            return
        failed_at = jobs.last_failure(self.queue)
        jobs.enqueue(self.queue)
        if failed_at and time.time() - failed_at < FAILED_LATELY_S:
            raise JobsFail

    def enqueue_trail(self) -> None:
        """Have a job number and keep the audit entries that wait; raise `JobsFail` while jobs fail and they stay."""
        with self.database.open() as connection:
            waits = trail.is_waiting(connection)
        if not waits:
            return
        failed_at = jobs.last_failure(self.queue)
        jobs.enqueue(self.queue, trail.write)
        if failed_at and time.time() - failed_at < FAILED_LATELY_S:
            raise JobsFail

    def beat(self) -> None:
        self.redis.set(HEARTBEAT, int(time.time()), ex=HEARTBEAT_TTL_S)

    def repeat_revisions(self) -> None:
        """Tell the proxies what the database says, should an announcement have been lost. Redis is read first."""
        known = self.redis.get(revisions.REDIS_KEY)
        with self.database.open() as connection:
            row = connection.execute("select catalogue, keys from revision").fetchone()
        current = f"{row[0]}.{row[1]}" if row else ""
        if current and known != current.encode():
            self.redis.set(revisions.REDIS_KEY, current)

    def look_at_zones(self) -> None:
        """Note whether a workspace's rollups wait to be rebuilt, by the job that `enqueue` enqueues next."""
        with self.database.open() as connection:
            self.zone_changed = bool(rollup_zones.outdated(connection))

    def make_partitions(self) -> None:
        with self.database.open() as connection:
            partitions.ensure_ahead(connection, utc_now())

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True


class Child:
    """The process that takes jobs, started again when it ends, after growing pauses."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.started_s = self.due_s = 0.0
        self.failures = 0

    def keep(self, now_s: float) -> None:
        """Start it when it does not run and its pause is over."""
        if self.process and self.process.poll() is not None:
            log.warning("the child that takes jobs ended", extra={"code": self.process.returncode})
            self.failures = 0 if now_s - self.started_s > STEADY_S else self.failures + 1
            self.due_s = now_s + min(LONGEST_PAUSE_S, TICK_S * 2**self.failures)
            self.process = None
        if self.process is None and now_s >= self.due_s:
            self.started_s = now_s
            # A session of its own: Ctrl-C reaches this process only, which stops the child in order.
            command = [sys.executable, __file__, "--jobs", str(os.getpid())]
            self.process = subprocess.Popen(command, start_new_session=True)  # noqa: S603  # our own file

    def stop(self) -> None:
        """Let it finish its batch; kill it and its horse when that takes too long: the transaction is then undone."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            for horse in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    horse.kill()
            self.process.kill()
            self.process.wait()


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


def take_jobs(parent: int) -> None:
    """Be the child: work on jobs until told to stop, or until the parent is gone."""
    _die_with(parent)
    settings = Settings.read()
    connection = Redis.from_url(settings.queue_redis_url or settings.redis_url)
    worker = JobWorker([_queue(connection)], connection=connection, serializer=JSONSerializer, worker_ttl=QUEUE_TTL_S)
    worker.log_job_description = False
    worker.work(logging_level="WARNING")


def _queue(connection: Redis) -> Queue:
    return Queue(LEDGER_QUEUE, connection=connection, serializer=JSONSerializer, job_class=jobs.OurJob)


def _die_with(parent: int) -> None:
    """Have the kernel send SIGTERM when the parent dies, kill -9 included; elsewhere than on Linux it does not."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` out of whatever the block waits for."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before: Any = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: list[str]) -> int:
    """Run the loop, or its child; 0 after an ordinary stop, 1 when the settings are wrong."""
    process_log.configure()
    try:
        settings = Settings.read()
    except InvalidSettings as problems:
        log.critical("%s", problems)
        return 1
    if arguments[:1] == ["--jobs"]:
        take_jobs(int(arguments[1]))
    else:
        Loop(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
