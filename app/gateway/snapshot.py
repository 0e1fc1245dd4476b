"""What this process knows of keys and models, kept fresh: no call on the line asks the database.

A refresher compares a revision every 250 ms (one GET on the process's Redis connection; SQL
every 500 ms when Redis is away, and every 2 s in any case) and loads what changed.
"""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event
from sqlalchemy import Result, text
from sqlalchemy.exc import SQLAlchemyError

from app.auth.callers import Callers
from app.crypto import Vault
from app.errors import Unavailable
from app.extensions import db
from app.gateway.pipe import Pipe, RedisAway
from app.model import catalogue
from app.workspace import revisions

COMPARE_EVERY_S = 0.25
SQL_EVERY_S = 2.0
SQL_EVERY_WITHOUT_REDIS_S = 0.5
SQL_LIMIT_S = 5.0
ASK_LIMIT_S = 1.0
"""How long an unknown key waits for the database to say that it is unknown."""

AppContext = Callable[[], AbstractContextManager[object]]
"""What makes the database usable outside a request."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Known:
    """The running process's knowledge. `asked_at` (monotonic) is when the database last confirmed it."""

    callers: Callers
    models: catalogue.Catalogue
    catalogue_revision: int = -1
    keys_revision: int = -1
    asked_at: float = float("-inf")


class Refresher:
    """Keeps `known` fresh. One per process."""

    def __init__(self, app_context: AppContext, pipe: Pipe, vault: Vault) -> None:
        self.known = Known(Callers(), catalogue.EMPTY)
        self._app_context = app_context
        self._vault = vault
        self._pipe = pipe
        self._announced: bytes | None = b"nothing yet"
        self._wake = Event()
        self._answered = Event()
        self._database_is_away = False
        self._tried_at = float("-inf")

    @property
    def is_loaded(self) -> bool:
        """Whether there is something to serve from."""
        return min(self.known.keys_revision, self.known.catalogue_revision) >= 0

    def run(self) -> None:
        """Compare and load for ever; a greenlet."""
        while True:
            try:
                if self._should_ask():
                    self._ask()
            except Exception:
                log.exception("what changed could not be loaded; serving what is known")
            self._wake.wait(COMPARE_EVERY_S)

    def confirm(self) -> None:
        """Make sure that the database was asked just now; raise `Unavailable` when it cannot be.

        Only an unknown key comes here. The refresher asks, at most every 250 ms, for everybody.
        """
        asked = time.monotonic()
        if asked - self.known.asked_at < COMPARE_EVERY_S:
            return
        while self._tried_at < asked and time.monotonic() - asked < ASK_LIMIT_S:
            self._answered.clear()
            self._wake.set()
            self._answered.wait(ASK_LIMIT_S)
        if self.known.asked_at < asked:
            raise Unavailable("The gateway cannot check this API key now. Try again soon.")

    def _should_ask(self) -> bool:
        if self._wake.is_set():
            return True
        since = time.monotonic() - self.known.asked_at
        try:
            announced = self._pipe.call(b"GET", revisions.REDIS_KEY)
        except RedisAway:
            return since > SQL_EVERY_WITHOUT_REDIS_S
        changed = announced != self._announced
        self._announced = announced
        return changed or since > SQL_EVERY_S

    def _ask(self) -> None:
        self._wake.clear()
        started = time.monotonic()
        try:
            with gevent.Timeout(SQL_LIMIT_S), self._app_context():
                self._load()
            if self._database_is_away:
                log.info("the database is back")
            self._database_is_away = False
        except (SQLAlchemyError, gevent.Timeout) as error:
            if not self._database_is_away:
                log.warning("the database is away; serving what is known", extra={"cause": type(error).__name__})
            self._database_is_away = True
        finally:
            if self.known.asked_at < started:
                self._announced = b"ask again"
            self._tried_at = started
            self._answered.set()

    def _load(self) -> None:
        """Load what is newer than what is known. Revisions are read first: a change in between comes again."""
        known, asked = self.known, time.monotonic()
        try:
            catalogue_revision, keys_revision = revisions.current()
            if keys_revision < known.keys_revision:  # another database, or one put back from a copy
                known.callers, known.keys_revision = Callers(), -1
            if keys_revision != known.keys_revision:
                rows = db.session.execute(text("select * from keys_since(:known)"), {"known": known.keys_revision})
                known.callers.update(_dicts(rows))
                known.keys_revision = keys_revision
            if catalogue_revision != known.catalogue_revision:
                rows = db.session.execute(text("select * from catalogue_since(-1)"))
                factors = db.session.execute(text("select * from adjustments_since(-1)"))
                known.models = catalogue.build(_dicts(rows), self._vault, _dicts(factors))
                known.catalogue_revision = catalogue_revision
            known.asked_at = asked
            db.session.rollback()
        except BaseException:
            db.session().invalidate()
            raise


def _dicts(rows: Result[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in rows.mappings()]
