"""Whether this process may get traffic: named checks that other parts declare, asked by `/readyz`.

A check's name is what outsiders read when it fails, so it says what kind of thing is wrong and
nothing about addresses, versions or models.
"""

from collections.abc import Callable, Mapping

from app.logging import asking

STARTING = "starting"
"""Fails until the catalogue is loaded; the gateway declares it."""
DRAINING = "draining"
"""Fails from SIGTERM on; the gateway declares it."""
DATABASE = "database"

WAIT_S = 0.7
"""How long all checks together may take; what has not answered by then has failed."""

Check = Callable[[], bool]

_declared: dict[str, Check] = {}


def declare(name: str, check: Check) -> None:
    """Have `/readyz` ask `check`, which is true when all is well; replaces the check of that name."""
    _declared[name] = check


def withdraw(name: str) -> None:
    """Ask this check no more."""
    _declared.pop(name, None)


def declared() -> dict[str, Check]:
    """The checks of this process by name."""
    return dict(_declared)


def failing(checks: Mapping[str, Check], wait_s: float = WAIT_S) -> list[str]:
    """Name the checks that fail, raise or do not answer in time, in the order given."""
    answers = asking.ask_all(checks, wait_s)
    return [name for name in checks if not answers.get(name)]
