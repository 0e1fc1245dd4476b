"""Rows that follow one another in time without overlap: prices and adjustments. None is edited, only ended or replaced."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy.dialects.postgresql import Range


class Row(Protocol):
    """A row with the time in which it counts; an empty range counts never, and is kept for what it has billed."""

    valid: Any


AnyRow = TypeVar("AnyRow", bound=Row)


def in_order(rows: Iterable[AnyRow]) -> list[AnyRow]:
    """Sort the rows that count at any time, the earliest first."""
    return sorted((row for row in rows if not row.valid.isempty), key=_start)


def counting_at(rows: Sequence[AnyRow], instant: datetime | None) -> AnyRow | None:
    """Find the row that counts at an instant; None is the beginning of time."""
    return next((row for row in in_order(rows) if _begins_by(row, instant) and _ends_after(row, instant)), None)


def make_room(rows: Sequence[Row], since: datetime | None) -> datetime | None:
    """End what counts at `since` and say until when the row that begins then may count; None is for ever.

    That is the end of the row that it takes the place of, or the start of the next one.
    """
    found = counting_at(rows, since)
    if found is None:
        later = [row.valid.lower for row in in_order(rows) if not _begins_by(row, since)]
        return min(later, default=None)
    until: datetime | None = found.valid.upper
    found.valid = Range(empty=True) if found.valid.lower == since else Range(found.valid.lower, since)
    return until


def _start(row: Row) -> tuple[bool, Any]:
    return row.valid.lower is not None, row.valid.lower


def _begins_by(row: Row, instant: datetime | None) -> bool:
    lower = row.valid.lower
    return lower is None or (instant is not None and lower <= instant)


def _ends_after(row: Row, instant: datetime | None) -> bool:
    upper = row.valid.upper
    return upper is None or instant is None or instant < upper
