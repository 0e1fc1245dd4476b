"""What the loop has jobs do: usage into the ledger, the audit trail, rating runs, exports.

A job is enqueued when its data waits, whoever else enqueued one: doing it twice does nothing twice.
"""

import time
from pathlib import Path

from redis import Redis
from rq import Queue

from app.billing import export_upkeep, jobs, nightly, rating_jobs, rollup_zones
from app.logging import trail
from app.units import utc_now
from app.worker.chores import JobsFail
from app.worker.database import Database

FAILED_LATELY_S = 10.0


class Orders:
    """Looks at what waits, and enqueues the job for it. Each raises `JobsFail`, for a longer pause, while jobs fail."""

    def __init__(self, redis: Redis, queue: Queue, long_queue: Queue, database: Database, home: Path) -> None:
        self._redis, self._queue, self._long_queue = redis, queue, long_queue
        self._database, self._home = database, home
        self._zone_changed = False

    def take_usage(self) -> None:
        """Have a job take what waits in the streams into the ledger."""
        if self._zone_changed and jobs.enqueue(self._queue, jobs.rebuild_outdated):
            self._zone_changed = False
        if jobs.waiting(self._redis):
            failed_at = jobs.last_failure(self._queue)
            jobs.enqueue(self._queue)
            _slow_down(failed_at)

    def write_trail(self) -> None:
        """Have a job number and keep the audit entries that wait."""
        with self._database.open() as connection:
            waits = trail.is_waiting(connection)
        if waits:
            failed_at = jobs.last_failure(self._queue)
            jobs.enqueue(self._queue, trail.write)
            _slow_down(failed_at)

    def look_at_zones(self) -> None:
        """Note whether a workspace's rollups wait to be rebuilt, by the job that `take_usage` enqueues next."""
        with self._database.open() as connection:
            self._zone_changed = bool(rollup_zones.outdated(connection))

    def go_on_rating(self) -> None:
        """Have a job go on with the next rating run: with what takes long, so that usage is taken meanwhile."""
        with self._database.open() as connection:
            run_id = rating_jobs.next_run(connection)
        if run_id is not None:
            failed_at = jobs.last_failure(self._long_queue)
            rating_jobs.enqueue(self._long_queue, run_id)
            _slow_down(failed_at)

    def order_checks(self) -> None:
        """Order the checks of the day that has ended, each once; `go_on_rating` has them done."""
        with self._database.open() as connection:
            nightly.order(connection, utc_now())

    def see_to_exports(self) -> None:
        """Order exports that are due, have jobs make those that wait, delete the files that have expired."""
        with self._database.open() as connection:
            export_upkeep.turn(connection, self._long_queue, self._home, now=utc_now())

    def forget_failures(self) -> None:
        """Delete old failed jobs."""
        for queue in (self._queue, self._long_queue):
            jobs.forget_failures(queue)


def _slow_down(failed_at: float | None) -> None:
    if failed_at and time.time() - failed_at < FAILED_LATELY_S:
        raise JobsFail
