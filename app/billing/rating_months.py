"""Which month of a workspace a call is billed in, and whether that month is closed; asked once for many calls."""

from bisect import bisect_right
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import psycopg

from app.billing import periods, rollup_zones
from app.billing.periods import CLOSED

_WRITTEN = """
    select month, starts_at, ends_at, state from billing_period where workspace_id = %s order by starts_at"""
_ZONE = "select timezone from workspace where workspace_id = %s"


class Written(NamedTuple):
    """A month that has a row: its ends are fixed."""

    month: date
    start: datetime
    end: datetime
    state: str


class Months:
    """The months of one workspace: those with a row, and between them those of its zone."""

    def __init__(self, written: list[Written], timezone: str) -> None:
        self._written = written
        self._in_zone = rollup_zones.load(timezone)
        self._by_month = {one.month: one for one in written}

    def of(self, instant: datetime) -> tuple[date, bool]:
        """Find an instant's month, and whether it is closed."""
        if one := self._around(instant):
            return one.month, one.state == CLOSED
        month = instant.astimezone(self._in_zone).date().replace(day=1)
        # After a move to another zone a neighbour's fixed end may lie beyond the month's own.
        beside = self._by_month.get(month)
        if beside:
            month = periods.after(month) if instant >= beside.end else periods.before(month)
        return month, False

    def _around(self, instant: datetime) -> Written | None:
        place = bisect_right(self._written, instant, key=lambda one: one.start)
        return self._written[place - 1] if place and instant < self._written[place - 1].end else None


def read(database: psycopg.Connection, workspace_id: UUID) -> Months:
    """Read the months of a workspace; one that is gone has UTC."""
    written = [Written(*row) for row in database.execute(_WRITTEN, [workspace_id])]
    row = database.execute(_ZONE, [workspace_id]).fetchone()
    return Months(written, row[0] if row else "UTC")
