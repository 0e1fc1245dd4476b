"""The ledger's RQ jobs, and the calls that enqueue and watch them.

Jobs carry no payload: the data stays in its stream until a transaction has it. So a job that
fails, is lost or runs twice costs nothing but time, and recovery never asks RQ's registries.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from types import FrameType
from typing import Any
from uuid import UUID

import psycopg
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job
from rq.results import Result
from rq.timeouts import BaseTimeoutException

from app.billing import rollup_zones
from app.billing.events import stream_key
from app.billing.ingest import ingest
from app.billing.rebuild import rebuild
from app.config import Settings
from app.extensions import connect_redis
from app.logging import trail
from app.units import BUCKETS, bucket_tag

DRAIN_LIMIT_S = 30.0
LOOK_AGAIN_S = 0.25
JOB_TIMEOUT_S = 60
REBUILD_TIMEOUT_S = 1800
FAILURE_TTL_S = 3600
MOST_FAILED = 50
"""Failed jobs that are kept for people to see; older ones are deleted."""

RUNNABLE = frozenset(
    {
        "app.billing.jobs.drain",
        "app.billing.jobs.rebuild_outdated",
        "app.billing.rating_jobs.run",
        "app.billing.export_jobs.run",
        trail.JOB,
    }
)
"""The functions that a job may name."""

_ERROR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(?=:|$)")

log = logging.getLogger(__name__)


class OurJob(Job):
    """A job that runs only our own functions: whoever can write to Redis can name any function in one."""

    success_callback = failure_callback = stopped_callback = property(lambda _self: None)

    def perform(self) -> Any:
        if self.func_name not in RUNNABLE:
            raise NotOurs("the job names a function that is no job of ours")
        return super().perform()


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that failed: which function, when, and the name of its error. What the error says stays in the log."""

    function: str
    failed_at: datetime
    error: str


class NotOurs(Exception):
    """Somebody else wrote this job."""


class _Stop:
    """Whether this process was told to stop; a signal handler sets it."""

    asked = False


def drain() -> None:
    """RQ job: take everything that waits into the ledger, bucket by bucket in turn, for at most 30 s.

    It looks once more before it ends, so that steady traffic costs one fork in 30 s and not four a second.
    A bucket that fails does not stop the others; its error is raised at the end, so that the job shows as failed.
    """
    settings = Settings.read()
    deadline_s = time.monotonic() + DRAIN_LIMIT_S
    failed: dict[int, Exception] = {}
    looked_again = False
    with connect_redis(settings.redis_url) as redis, connect(settings.database_ingest_url) as database:
        while not _Stop.asked and time.monotonic() < deadline_s:
            _write_trail(database)
            buckets = [bucket for bucket in waiting(redis) if bucket not in failed]
            if sum(_batch(bucket, database, redis, failed) for bucket in buckets):
                looked_again = False
            elif looked_again or failed:
                break
            else:
                time.sleep(LOOK_AGAIN_S)
                looked_again = True
    if failed:
        raise next(iter(failed.values()))


def rebuild_outdated() -> None:
    """RQ job: build the rollups of every workspace anew whose time zone has changed. One that is busy waits for the next job.

    A workspace that fails does not stop the others; its error is raised at the end, so that the job shows as failed.
    """
    failed: list[Exception] = []
    with connect(Settings.read().database_ingest_url) as database:
        for workspace_id in rollup_zones.outdated(database):
            if not _Stop.asked:
                _rebuild(workspace_id, database, failed)
    if failed:
        raise failed[0]


def stop_soon(_number: int, _frame: FrameType | None) -> None:
    """Signal handler of a working job: end after the running batch. What is left waits for the next job."""
    _Stop.asked = True


def stopping() -> bool:
    """Tell whether this process was told to stop: a long job then ends where it can go on later."""
    return _Stop.asked


def connect(url: str) -> psycopg.Connection:
    """Open a connection to the ledger; raise `psycopg.OperationalError` when there is none within 3 s."""
    return psycopg.connect(url, autocommit=True, connect_timeout=3, application_name="llm-gateway-worker")


def waiting(redis: Redis) -> list[int]:
    """List the buckets whose stream holds entries. A key of another type counts as empty: it is no stream."""
    asked = redis.pipeline(transaction=False)
    for bucket in range(BUCKETS):
        asked.xlen(stream_key(bucket_tag(bucket)))
    lengths = asked.execute(raise_on_error=False)
    broken = [length for length in lengths if isinstance(length, Exception)]
    if len(broken) == BUCKETS:
        raise broken[0]
    return [bucket for bucket, length in enumerate(lengths) if isinstance(length, int) and length]


def enqueue(queue: Queue, job: Callable[[], None] = drain) -> bool:
    """Enqueue a job when none waits; tell whether it did."""
    if queue.count:
        return False
    timeout_s = REBUILD_TIMEOUT_S if job is rebuild_outdated else JOB_TIMEOUT_S
    queue.enqueue(job, result_ttl=0, failure_ttl=FAILURE_TTL_S, job_timeout=timeout_s)
    return True


def last_failure(queue: Queue) -> float | None:
    """Tell when the newest failed job failed, in Unix seconds; None when there is none."""
    newest: Any = queue.connection.zrange(queue.failed_job_registry.key, -1, -1, withscores=True)
    return newest[0][1] - FAILURE_TTL_S if newest else None


def failed(queue: Queue) -> list[FailedJob]:
    """List the failed jobs that are kept, the newest first."""
    kept: Any = queue.connection.zrange(queue.failed_job_registry.key, 0, -1, withscores=True, desc=True)
    jobs = Job.fetch_many([raw.decode() for raw, _ in kept], queue.connection, serializer=queue.serializer)
    return [
        FailedJob(job.func_name or "", datetime.fromtimestamp(until - FAILURE_TTL_S, UTC), _error_of(job))
        for job, (_, until) in zip(jobs, kept, strict=True)
        if job is not None
    ]


def forget_failures(queue: Queue) -> int:
    """Delete failed jobs beyond the newest `MOST_FAILED`, unread; return how many."""
    registry = queue.failed_job_registry.key
    old: Any = queue.connection.zrange(registry, 0, -MOST_FAILED - 1)
    ids = [raw.decode() for raw in old]
    if ids:
        asked = queue.connection.pipeline()
        asked.zrem(registry, *ids)
        asked.delete(*map(Job.key_for, ids), *map(Result.get_key, ids))
        asked.execute()
    return len(ids)


def _error_of(job: Job) -> str:
    """Name the class of a job's error: the first word after the last frame of its traceback. No message follows it."""
    result = job.latest_result()
    lines = ((result.exc_string if result else None) or "").splitlines()
    after = list(takewhile(lambda line: not line.startswith('  File "'), reversed(lines)))[::-1]
    first = next((line for line in after if not line.startswith(" ")), "")
    named = _ERROR_NAME.match(first)
    return named[0].rpartition(".")[2] if named else "unknown"


def _batch(bucket: int, database: psycopg.Connection, redis: Redis, failed: dict[int, Exception]) -> bool:
    """Take one batch of a bucket; tell whether there was one. A lost connection ends the job."""
    if _Stop.asked:
        return False
    try:
        batch = ingest(bucket, database=database, redis=redis)
    except (psycopg.OperationalError, RedisError):
        raise
    except Exception as error:  # noqa: BLE001  # whatever is wrong with one bucket, the others go on
        log.error(  # noqa: TRY400  # RQ logs the traceback, once for the job
            "a bucket could not be taken into the ledger", extra={"bucket": bucket, "cause": type(error).__name__}
        )
        failed[bucket] = error
        return False
    return batch is not None and batch.read > 0


def _write_trail(database: psycopg.Connection) -> None:
    """Keep the audit entries that came while this job runs. What fails stays for the trail's own job, which shows it."""
    try:
        trail.take_all(database, stop=lambda: _Stop.asked)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        log.warning("the audit trail waits", extra={"cause": type(error).__name__})


def _rebuild(workspace_id: UUID, database: psycopg.Connection, failed: list[Exception]) -> None:
    """Build one workspace's rollups anew. A lost connection and RQ's time limit end the job."""
    try:
        calls = rebuild(workspace_id, database=database)
    except (psycopg.OperationalError, BaseTimeoutException):
        raise
    except Exception as error:  # noqa: BLE001  # whatever is wrong with one workspace, the others go on
        cause = {"workspace_id": str(workspace_id), "cause": type(error).__name__}
        log.error("rollups could not be rebuilt", extra=cause)  # noqa: TRY400  # RQ logs the traceback
        failed.append(error)
        return
    if calls is not None:
        log.info("rollups were rebuilt", extra={"workspace_id": str(workspace_id), "calls": calls})
