"""Lists in pages, by keyset: the next page begins after the last row of this one, whatever came or went."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute

SIZE = 50

T = TypeVar("T")
S = TypeVar("S", bound=Select[Any])


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a list. `after` is where the next page begins; None: this is the last one."""

    items: list[T]
    after: str | None


def by_name(statement: S, column: InstrumentedAttribute[str], *, search: str, after: str | None) -> S:
    """Find the rows whose name holds `search`, case ignored, those after the name `after`; one more than a page."""
    if search:
        statement = statement.where(column.icontains(search, autoescape=True))
    if after is not None:
        statement = statement.where(column > after)
    return statement.order_by(column).limit(SIZE + 1)


def cut(rows: Sequence[T], place: Callable[[T], str]) -> Page[T]:
    """Make a page of up to one row more than fits; `place` is what the next page begins after."""
    kept = list(rows[:SIZE])
    return Page(kept, place(kept[-1]) if len(rows) > SIZE else None)
