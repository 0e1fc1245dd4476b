"""Rating runs as RQ jobs: an id and nothing more; where a job ends, the next one goes on by the run's own row.

A job works for a few seconds and makes room for the ledger's: calls that arrive wait no longer than that, but for
a day of very many calls.
"""

import logging
import time
from uuid import UUID

import psycopg
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

from app.billing import jobs, rating_steps
from app.billing.rating_steps import CHECK, Busy, Overtaken, Run, WrongTotals
from app.config import Settings
from app.extensions import connect_redis
from app.logging import rating_figures
from app.units import utc_now

RUN = "app.billing.rating_jobs.run"
SLICE_S = 5.0
TIMEOUT_S = 1800

_NEXT = """
    select run_id from rating_run where state in ('waiting', 'running')
    order by kind = 'check', state = 'waiting', created_at limit 1"""

log = logging.getLogger(__name__)


def run(run_id: str) -> None:
    """RQ job: do the next days of a run. Raises `LookupError` for an id that there is not, and what made the run fail."""
    deadline_s = time.monotonic() + SLICE_S
    settings = Settings.read()
    with jobs.connect(settings.database_ingest_url) as database, connect_redis(settings.redis_url) as redis:
        while work(database, redis, UUID(run_id)):
            if jobs.stopping() or time.monotonic() >= deadline_s:
                return


def work(database: psycopg.Connection, redis: Redis, run_id: UUID) -> bool:
    """Do one step of a run; tell whether there is another one that can be done now."""
    found = rating_steps.read(database, run_id)
    try:
        more = rating_steps.step(database, found, now=utc_now())
    except Busy:
        return False
    except Overtaken:
        return True
    except psycopg.OperationalError:
        raise
    except Exception as error:
        rating_steps.fail(database, run_id, now=utc_now())
        _say(found, error, redis)
        raise
    if not more and found.kind == CHECK and found.state in rating_steps.GOING:
        _count(redis, rating_figures.PASSED)
    return more


def enqueue(queue: Queue, run_id: UUID) -> bool:
    """Enqueue a job for a run when none waits for any; tell whether it did."""
    if any(job.func_name == RUN for job in queue.jobs):
        return False
    queue.enqueue(RUN, str(run_id), result_ttl=0, failure_ttl=jobs.FAILURE_TTL_S, job_timeout=TIMEOUT_S)
    return True


def next_run(database: psycopg.Connection) -> UUID | None:
    """Find the run to go on with: somebody's own before the nightly checks; None when there is none."""
    row = database.execute(_NEXT).fetchone()
    return row[0] if row else None


def _say(found: Run, error: Exception, redis: Redis) -> None:
    """Put a failed run into the log and into the figures."""
    about = {"workspace_id": str(found.workspace_id), "run_id": str(found.run_id), "kind": found.kind}
    cause = str(error) if isinstance(error, WrongTotals) else type(error).__name__
    said = "the nightly check failed" if found.kind == CHECK else "a rating run failed"
    log.error(said, extra=about | {"cause": cause})  # RQ logs the traceback
    if found.kind == CHECK:
        _count(redis, rating_figures.FAILED)


def _count(redis: Redis, outcome: str) -> None:
    """Count a check; figures that cannot be kept are no reason to do the check again."""
    try:
        rating_figures.count(redis, outcome, utc_now())
    except RedisError as error:
        log.warning("a check could not be counted", extra={"cause": type(error).__name__})
