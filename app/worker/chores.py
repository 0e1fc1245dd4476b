"""Chores: what the worker's loop does in turn, each at its own pace, and each failing by itself."""

import logging
from collections.abc import Callable

import psycopg
from redis.exceptions import RedisError

TICK_S = 0.25
LONGEST_PAUSE_S = 5.0

log = logging.getLogger("worker")


class JobsFail(Exception):
    """Something waits for a job, and the last job failed."""


EXPECTED = (RedisError, psycopg.Error, OSError, JobsFail)
"""What fails while a server is away or jobs fail; anything else is a fault of ours, and logged with its traceback."""


class Chore:
    """Something done every `every_s` seconds; while it fails, after growing pauses. Says so once each time it changes."""

    def __init__(self, name: str, every_s: float, work: Callable[[], object]) -> None:
        self.name, self.every_s, self.work = name, every_s, work
        self.due_s = 0.0
        self.failures = 0

    def turn(self, now_s: float) -> None:
        """Do it when it is due. No error gets out: the other chores must go on."""
        if now_s < self.due_s:
            return
        try:
            self.work()
        except Exception as error:  # noqa: BLE001  # see above
            self._failed(error)
            self.due_s = now_s + pause_s(self.failures)
            return
        if self.failures:
            log.info("%s works again", self.name)
        self.failures = 0
        self.due_s = now_s + self.every_s

    def _failed(self, error: Exception) -> None:
        if not self.failures:
            fault = None if isinstance(error, EXPECTED) else error
            log.warning("%s fails", self.name, extra={"cause": type(error).__name__}, exc_info=fault)
        self.failures += 1


def pause_s(failures: int) -> float:
    """Tell how long to wait after so many failures in a row."""
    return min(LONGEST_PAUSE_S, TICK_S * 2.0 ** min(failures, 10))
