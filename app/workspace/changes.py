"""One number for all that a transaction changes.

However many keys or models a transaction touches, its counter moves once: proxies rebuild
once, and a thousand changed keys are one step.
"""

from collections.abc import Callable

from app.extensions import db
from app.workspace import revisions


def number_of_keys() -> int:
    """Give the running transaction's change to keys its number; the same one each time it is asked."""
    return _once("keys", revisions.bump_keys)


def number_of_catalogue() -> int:
    """Give the running transaction's change to models, providers or prices its number."""
    return _once("catalogue", revisions.bump_catalogue)


def _once(name: str, bump: Callable[[], int]) -> int:
    session = db.session()
    running = session.get_transaction()
    transaction, number = session.info.get(f"revision_{name}", (None, 0))
    if transaction is None or transaction is not running:
        number = bump()
        session.info[f"revision_{name}"] = (session.get_transaction(), number)
    return int(number)
