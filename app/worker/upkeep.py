"""What the loop does itself, quickly: heartbeat, revisions, partitions, retention."""

import logging
import time

from redis import Redis

from app.billing import partitions, retention
from app.logging import backlog
from app.units import utc_now
from app.worker.database import Database
from app.workspace import revisions

FORGET_EVERY_S = 3600.0

log = logging.getLogger("worker")


class Upkeep:
    """Its methods are chores; each is a fraction of a second."""

    def __init__(self, redis: Redis, database: Database, kept: retention.Retention) -> None:
        self._redis, self._database = redis, database
        self._sweep, self._forget_at_s = retention.Sweep(kept), 0.0

    def beat(self) -> None:
        """Say that the worker runs."""
        self._redis.set(backlog.HEARTBEAT, int(time.time()), ex=backlog.HEARTBEAT_TTL_S)

    def repeat_revisions(self) -> None:
        """Tell the proxies what the database says, should an announcement have been lost. Redis is read first."""
        known = self._redis.get(revisions.REDIS_KEY)
        with self._database.open() as connection:
            row = connection.execute("select catalogue, keys from revision").fetchone()
        current = f"{row[0]}.{row[1]}" if row else ""
        if current and known != current.encode():
            self._redis.set(revisions.REDIS_KEY, current)

    def make_partitions(self) -> None:
        """Make the partitions of this month and of the next ones."""
        with self._database.open() as connection:
            partitions.ensure_ahead(connection, utc_now())

    def look_for_strays(self) -> None:
        """Raise the alarm while rows lie in a default partition."""
        with self._database.open() as connection:
            strays = partitions.strays(connection)
        if strays:
            log.error("rows lie in a default partition: their month has none of its own", extra={"partitions": strays})

    def forget(self) -> None:
        """Delete one batch of what is past its retention; rest for an hour when there is none."""
        if time.monotonic() < self._forget_at_s:
            return
        with self._database.open() as connection:
            if not self._sweep.step(connection, utc_now()):
                self._forget_at_s = time.monotonic() + FORGET_EVERY_S
