"""How every process learns of a change within a second.

Each change to the catalogue or the keys adds 1 to the one `revision` row in its own transaction
(so changes commit in the order of their numbers) and, after the commit, tells Redis. Proxies
compare the value in Redis with the last one they saw, for inequality; the worker repeats it, so
a lost announcement costs a second and not a change.
"""

import logging

from redis.exceptions import RedisError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.extensions import after_commit, db, redis
from app.workspace.tables import RevisionRow

REDIS_KEY = "gateway:revisions"
"""Holds `<catalogue>.<keys>`; never expires."""

log = logging.getLogger(__name__)


def bump_catalogue() -> int:
    """Give the running transaction's change to models, providers or prices its number."""
    return _bump("catalogue")


def hold_catalogue(session: Session) -> None:
    """Wait until no other transaction changes models or prices, and keep others waiting until this one ends.

    The lock is the one that each change takes anyway, so that two of them cannot wait for each other.
    """
    session.execute(select(RevisionRow.catalogue).with_for_update())


def bump_keys() -> int:
    """Give the running transaction's change to keys its number; key rows carry it."""
    return _bump("keys")


def count_keys(session: Session) -> int:
    """Give a change of the worker's, in its own session, its number. The worker announces it on its next round."""
    counted = update(RevisionRow).values(keys=RevisionRow.keys + 1).returning(RevisionRow.keys)
    return int(session.scalars(counted).one())


def current() -> tuple[int, int]:
    """Read both numbers from the database: catalogue, keys."""
    row = db.session.execute(select(RevisionRow.catalogue, RevisionRow.keys)).one()
    return row.catalogue, row.keys


def announce() -> None:
    """Tell the proxies, by Redis; a failure is logged, and the worker's next round repairs it."""
    try:
        catalogue, keys = current()
        redis().set(REDIS_KEY, f"{catalogue}.{keys}")
    except RedisError as error:
        log.warning("could not announce a change", extra={"cause": type(error).__name__})
    finally:
        db.session.rollback()


def _bump(counter: str) -> int:
    """Add 1 to a counter, once in a transaction: whatever it changes, proxies load it in one step."""
    session = db.session()
    running, number = session.info.get(f"revision of {counter}", (None, 0))
    if running is None or running is not session.get_transaction():
        column = getattr(RevisionRow, counter)
        number = session.execute(update(RevisionRow).values({column: column + 1}).returning(column)).scalar_one()
        session.info[f"revision of {counter}"] = (session.get_transaction(), number)
        after_commit("announce", announce)
    return int(number)
