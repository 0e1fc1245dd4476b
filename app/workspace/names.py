"""The rule for names that people give: workspaces, applications, keys, providers, models.

Names end up in spreadsheets, so they never begin like a formula; one rule here means that
machine and spreadsheet exports agree.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError

LONGEST = 200
FORMULA_STARTS = frozenset("=+-@")


class Invalid(ValueError):
    """A value that cannot be stored; `field` is its name and `problem` says what to do."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class NotFound(LookupError):
    """There is no such thing in this workspace."""


@contextmanager
def unique(what: str, name: str) -> Iterator[None]:
    """Raise `Invalid` when the rows written in the block are refused because the name is taken."""
    try:
        yield
    except IntegrityError as error:
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None) or ""
        if not constraint.startswith("uq_"):
            raise
        raise Invalid("name", f"there is {what} {name!r} already") from error


def check(field: str, name: str) -> str:
    """Give the name back, or raise `Invalid`."""
    check_foreign(field, name)
    if name[0] in FORMULA_STARTS:
        raise Invalid(field, f"must not begin with {name[0]!r}, which a spreadsheet takes for a formula")
    return name


def check_foreign(field: str, name: str) -> str:
    """Give back a name that others have chosen, such as an upstream's `@cf/meta/llama`, or raise `Invalid`."""
    if not 1 <= len(name) <= LONGEST:
        raise Invalid(field, f"must have 1 to {LONGEST} characters, not {len(name)}")
    if any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in name):
        raise Invalid(field, "must not hold control characters or line breaks")
    if name != name.strip():
        raise Invalid(field, "must not begin or end with a space")
    return name
