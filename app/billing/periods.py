"""Billing periods: the months of a workspace, and where each begins and ends.

A month without a row is open and lies in the workspace's present zone. Once it has left *open* its
zone and its ends stay. A neighbour of such a month begins, or ends, where that one says: so each call
is in exactly one month, also where the workspace has changed its zone in between.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.billing import rollup_zones
from app.billing.period_tables import BillingPeriodRow
from app.billing.tables import ROLLUPS
from app.extensions import transaction
from app.units import start_of_day
from app.workspace import workspaces
from app.workspace.workspaces import Terms

OPEN, DRAFT, CLOSED = "open", "draft", "closed"
NAME = re.compile(r"20[2-9][0-9]-(0[1-9]|1[0-2])")
PAGE = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One month of one workspace: `start` and `end` are instants, `end` is the next month's start."""

    workspace_id: UUID
    month: date
    state: str
    timezone: str
    start: datetime
    end: datetime
    closed_at: datetime | None = None
    closed_by: UUID | None = None
    totals_hash: bytes | None = None

    @property
    def name(self) -> str:
        """The month as addresses and people write it: 2026-10."""
        return name_of(self.month)

    @classmethod
    def of(cls, row: BillingPeriodRow) -> "Period":
        """Take a row's values."""
        return cls(
            workspace_id=row.workspace_id,
            month=row.month,
            state=row.state,
            timezone=row.timezone,
            start=row.starts_at,
            end=row.ends_at,
            closed_at=row.closed_at,
            closed_by=row.closed_by,
            totals_hash=row.totals_hash,
        )


def name_of(month: date) -> str:
    """Write a month: 2026-10."""
    return f"{month:%Y-%m}"


def month_named(name: str) -> date | None:
    """Read a month such as 2026-10; None for what is none."""
    return date(int(name[:4]), int(name[5:]), 1) if NAME.fullmatch(name) else None


def after(month: date) -> date:
    """The month after one."""
    return (month + timedelta(days=31)).replace(day=1)


def before(month: date) -> date:
    """The month before one."""
    return (month - timedelta(days=1)).replace(day=1)


def get(workspace_id: UUID, month: date) -> Period:
    """Read one month as it stands."""
    with transaction(workspace_id) as session:
        return read(session, workspace_id, month)


def read(session: Session, workspace_id: UUID, month: date) -> Period:
    """Read one month; where it has no row, work out its ends from its neighbours and the workspace's zone."""
    found = _rows(session, workspace_id, before(month), after(month))
    if row := found.get(month):
        return Period.of(row)
    return _unwritten(workspace_id, month, found, workspaces.terms(workspace_id).timezone)


def running(workspace_id: UUID, now: datetime) -> date:
    """Find the month that now is in."""
    with transaction(workspace_id) as session:
        return running_month(session, workspace_id, now)


def running_month(session: Session, workspace_id: UUID, now: datetime) -> date:
    """Find the month that now is in: by the workspace's zone, but never one that has been left already."""
    _, newest = _ends(session, workspace_id)
    return not_left(workspaces.terms(workspace_id).timezone, newest, now)


def not_left(timezone: str, newest: date | None, now: datetime) -> date:
    """Find the month of now in a zone; when the newest one with a row is that or a later one, the one after it.

    That is so for hours after a move to a zone further west.
    """
    local = now.astimezone(rollup_zones.load(timezone)).date().replace(day=1)
    return max(local, after(newest)) if newest else local


def listed(workspace_id: UUID, *, now: datetime, until: date | None = None) -> list[Period]:
    """List a page of months, the newest first: from the running one, or from `until`, down to the first with calls."""
    with transaction(workspace_id) as session:
        terms, (oldest_row, newest_row) = workspaces.terms(workspace_id), _ends(session, workspace_id)
        newest = not_left(terms.timezone, newest_row, now)
        month, first = min(until or newest, newest), _first(session, workspace_id, terms, oldest_row)
        months: list[date] = []
        while month >= first and len(months) < PAGE:
            months.append(month)
            month = before(month)
        found = _rows(session, workspace_id, month, after(min(until or newest, newest)))
        return [
            Period.of(found[one]) if one in found else _unwritten(workspace_id, one, found, terms.timezone)
            for one in months
        ]


def _rows(session: Session, workspace_id: UUID, first: date, last: date) -> dict[date, BillingPeriodRow]:
    row = BillingPeriodRow
    asked = select(row).where(row.workspace_id == workspace_id, row.month.between(first, last))
    return {one.month: one for one in session.scalars(asked.execution_options(populate_existing=True))}


def _unwritten(workspace_id: UUID, month: date, found: Mapping[date, BillingPeriodRow], timezone: str) -> Period:
    in_zone = rollup_zones.load(timezone)
    earlier, later = found.get(before(month)), found.get(after(month))
    return Period(
        workspace_id=workspace_id,
        month=month,
        state=OPEN,
        timezone=timezone,
        start=earlier.ends_at if earlier else start_of_day(month, in_zone),
        end=later.starts_at if later else start_of_day(after(month), in_zone),
    )


def _ends(session: Session, workspace_id: UUID) -> tuple[date | None, date | None]:
    """Find the first and the last month with a row."""
    month = BillingPeriodRow.month
    first, last = session.execute(
        select(func.min(month), func.max(month)).where(BillingPeriodRow.workspace_id == workspace_id)
    ).one()
    return first, last


def _first(session: Session, workspace_id: UUID, terms: Terms, oldest_row: date | None) -> date:
    """Find the first month worth listing: of the first call, of the first row, or in which the workspace was made."""
    days = ROLLUPS["day"].c
    in_zone = rollup_zones.load(terms.timezone)
    called = session.scalar(select(func.min(days.day_start)).where(days.workspace_id == workspace_id))
    months = [one.astimezone(in_zone).date().replace(day=1) for one in (terms.created_at, called) if one]
    return min([*months, oldest_row] if oldest_row else months)
