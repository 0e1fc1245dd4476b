"""The loop's connection to the database, and the limit of time that keeps a frozen server from freezing the loop."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

import psycopg

from app.billing import jobs

SQL_LIMIT_S = 3.0


class Database:
    """One connection as `gateway_ingest`, opened anew after it broke."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: psycopg.Connection | None = None

    @contextlib.contextmanager
    def open(self) -> Iterator[psycopg.Connection]:
        """Lend the connection for at most 3 s, a frozen server included; after an error it is closed."""
        try:
            with time_limit(SQL_LIMIT_S):
                self.connection = self.connection or jobs.connect(self.url)
                yield self.connection
        except BaseException:
            if self.connection:
                self.connection.close()
            self.connection = None
            raise


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` out of whatever the block waits for. In the main thread only: it is a signal."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before: Any = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
