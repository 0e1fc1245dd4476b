"""The billing periods that a FOCUS file is made of: where each begins and ends, and the statement it has."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

from app.billing import export_what
from app.billing.export_rows import Asked
from app.units import start_of_day, zone

# A reopened month has its row and no statement that is valid: it is open, and its voided statements are owed by nobody.
_PERIODS = """
    select p.month, p.starts_at, p.ends_at, p.timezone, p.closed_at, s.statement_id, s.number, s.total
    from billing_period p left join statement s
        on s.workspace_id = p.workspace_id and s.month = p.month and s.voided_at is null and p.state = 'closed'
    where p.workspace_id = %s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A billing period. `closed_at` None: it is open; `number` and `statement_id`: its statement's, when it has one."""

    day: date
    start: datetime
    end: datetime
    zone: ZoneInfo
    closed_at: datetime | None = None
    statement_id: UUID | None = None
    number: str | None = None
    total: Decimal | None = None


class _Fixed(NamedTuple):
    """A month whose zone and ends stay."""

    day: date
    start: datetime
    end: datetime
    timezone: str
    closed_at: datetime | None
    statement_id: UUID | None
    number: str | None
    total: Decimal | None


def of(connection: psycopg.Connection[Any], asked: Asked) -> list[Month]:
    """List the months of an order as they stood at its `as_of`, by the rules of `periods`: no call is in two of them."""
    fixed = {row[0]: _Fixed(*row) for row in connection.execute(_PERIODS, [asked.workspace_id])}
    return [_fixed(fixed[day], asked) if day in fixed else _open(day, asked.zone, fixed) for day in _days(asked)]


def days_of(month: Month, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut a month into the local days that have begun by an instant; its first and last instants are the period's own."""
    first, last = month.start.astimezone(month.zone).date(), month.end.astimezone(month.zone).date()
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    edges = sorted({month.start, month.end, *(start_of_day(day, month.zone) for day in days)})
    inside = [edge for edge in edges if month.start <= edge <= month.end]
    return ((start, end) for start, end in pairwise(inside) if start < until)


def _days(asked: Asked) -> Iterator[date]:
    day = asked.what.first.replace(day=1)
    while day <= asked.what.last:
        yield day
        day = export_what.month_after(day)


def _fixed(row: _Fixed, asked: Asked) -> Month:
    month = Month(day=row.day, start=row.start, end=row.end, zone=zone(row.timezone))
    if not row.closed_at or row.closed_at > asked.as_of:
        return month
    return replace(month, closed_at=row.closed_at, statement_id=row.statement_id, number=row.number, total=row.total)


def _open(day: date, in_zone: ZoneInfo, fixed: dict[date, _Fixed]) -> Month:
    """Lay an open month out: it begins where the one before has ended, and ends where the one after begins."""
    after = export_what.month_after(day)
    earlier, later = fixed.get((day - timedelta(days=1)).replace(day=1)), fixed.get(after)
    start = earlier.end if earlier else start_of_day(day, in_zone)
    return Month(day=day, start=start, end=later.start if later else start_of_day(after, in_zone), zone=in_zone)
