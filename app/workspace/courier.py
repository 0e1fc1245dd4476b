"""The courier: a thread of the worker that sends what is due, so that no slow receiver holds up the ledger.

It has its own connection and a few threads to wait in. Whatever it cannot do is done on a later turn.
"""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.config import Settings
from app.crypto import Vault
from app.extensions import sqlalchemy_url
from app.units import utc_now
from app.workspace import dispatch, senders
from app.workspace.dispatch import Due
from app.workspace.outbound import CannotSend, Rules
from app.workspace.senders import Means

EVERY_S = 1.0
AT_ONCE = 8
FORGET_EVERY = timedelta(hours=1)
FIGURES = "gateway:deliveries"
"""A hash in Redis for the metrics: sent, failed and retried count up; waiting and oldest_s are as of `at`."""

log = logging.getLogger(__name__)


def engine(url: str) -> Engine:
    """Open the database for a thread or chore of the worker; no statement takes longer than 3 s."""
    options = "-c statement_timeout=3000 -c jit=off"
    arguments = {"connect_timeout": 3, "application_name": "llm-gateway-worker", "options": options}
    return create_engine(
        sqlalchemy_url(url),
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args=arguments | {"prepare_threshold": None},
    )


def means_of(settings: Settings) -> Means:
    """Find what to send with in the settings."""
    return Means(
        vault=Vault.of(settings.secret_key, settings.secret_key_previous),
        rules=Rules(private_allowed=settings.outbound_private == "allow", ca_file=settings.ca_file),
        smtp_url=settings.smtp_url,
        mail_from=settings.mail_from,
    )


class Courier:
    """Sends what is due. `run` is the thread's; `turn` is one round of it."""

    def __init__(self, opened: Engine, redis: Redis, means: Means) -> None:
        self._engine, self._redis, self._means = opened, redis, means
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name="courier", daemon=True)
        self._is_failing = False
        self._forgot: datetime | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self, limit_s: float) -> None:
        """Let the running round end; what is left is sent when the worker runs again."""
        self._stopping.set()
        self._thread.join(limit_s)

    def run(self) -> None:
        """Go round until told to stop. Errors of the database stay here, said once."""
        with ThreadPoolExecutor(AT_ONCE, "courier") as pool:
            while not self._stopping.is_set():
                with self._failures_said():
                    self.turn(pool, utc_now())
                self._stopping.wait(EVERY_S)

    def turn(self, pool: ThreadPoolExecutor, now: datetime) -> int:
        """Send a handful of what is due, at the same time; tell how many were tried."""
        with Session(self._engine) as session:
            due = dispatch.take(session, now, most=AT_ONCE)
            for one, outcome in zip(due, pool.map(self._try, due), strict=True):
                self._note(session, one, outcome)
            self._show(session, now)
            if self._forgot is None or now - self._forgot >= FORGET_EVERY:
                dispatch.forget(session, now)
                self._forgot = now
        return len(due)

    def _try(self, due: Due) -> str | CannotSend:
        try:
            return senders.send(due, self._means, utc_now())
        except CannotSend as problem:
            return problem
        except Exception as error:  # noqa: BLE001  # one message that cannot be written must not stop the others
            log.warning("a delivery failed in the gateway", extra={"cause": type(error).__name__})
            return CannotSend(f"the gateway failed: {type(error).__name__}")

    def _note(self, session: Session, due: Due, outcome: str | CannotSend) -> None:
        now = utc_now()
        if isinstance(outcome, str):
            dispatch.sent(session, due, outcome, now)
            self._count("sent")
            return
        again = dispatch.failed(session, due, outcome.problem, now, permanent=outcome.permanent)
        self._count("retried" if again else "failed")
        about = {"workspace": str(due.workspace_id), "delivery": str(due.delivery_id), "kind": due.kind}
        log.warning("a delivery failed", extra=about | {"again": again})

    def _count(self, what: str) -> None:
        self._redis_do("hincrby", FIGURES, what, 1)

    def _show(self, session: Session, now: datetime) -> None:
        waiting, oldest = dispatch.backlog(session)
        oldest_s = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
        self._redis_do("hset", FIGURES, None, None, {"waiting": waiting, "oldest_s": f"{oldest_s:.0f}"})

    def _redis_do(self, command: str, *arguments: object) -> None:
        """Tell Redis a figure; without it the figure is missing, and nothing else."""
        try:
            getattr(self._redis, command)(*arguments)
        except RedisError as error:
            log.debug("a figure was not kept", extra={"cause": type(error).__name__})

    @contextmanager
    def _failures_said(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            if not self._is_failing:
                log.warning("sending alerts fails", extra={"cause": type(error).__name__})
            self._is_failing = True
        else:
            if self._is_failing:
                log.info("sending alerts works again")
            self._is_failing = False
