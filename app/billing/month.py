"""The month so far: what was spent, against the same span of the month before, on what, and what fails now."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.billing import explorer, figures, labels, lines, ranking
from app.billing.events import DONE, UNSETTLED
from app.billing.explorer import Question
from app.billing.figures import DAY, THINGS, Figures, Scope
from app.billing.lines import Line
from app.billing.tables import UsageEventRow
from app.extensions import snapshot
from app.units import local_hour_of, month_of

TOP = 5
LATELY = timedelta(hours=24)
PERCENT = Decimal(100)

Day = tuple[date, Figures]
Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Calls that failed for one reason; `code` is ours, or how the call ended where it has none."""

    code: str
    calls: int
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """What the workspace did from the month's first instant on.

    `days` has each day up to today and adds up to `figures`. `comparable` is what it did until the last full
    hour, `before` what it had done in the month before by then.
    """

    zone: ZoneInfo
    start: datetime
    now: datetime
    figures: Figures
    days: list[Day]
    comparable: Figures
    before: Figures
    before_start: datetime
    before_end: datetime
    tops: dict[str, list[Line]]
    failures: list[Failure]


def so_far(workspace_id: UUID, now: datetime) -> Month | None:
    """Read a workspace's month up to now, from one state of the database. None: it has never made a call."""
    with snapshot(workspace_id) as session:
        zone, has_called = figures.zone_of(session, workspace_id)
        if not has_called:
            return None
        start, end = month_of(now, zone)
        before = same_span_before(now, zone)
        scope = Scope(workspace_id=workspace_id, start=start, end=end)
        past, days, comparable = _spans(session, scope, before, now, zone)
        found = ranking.tops(session, scope, THINGS, TOP)
        ids = {name: {value for (value,), _ in things if isinstance(value, UUID)} for name, things in found.items()}
        named = labels.of(session, workspace_id, ids, before=end)
        return Month(
            zone=zone,
            start=start,
            now=now,
            figures=figures.total(one for _, one in days),
            days=days,
            comparable=comparable,
            before=past,
            before_start=before[0],
            before_end=before[1],
            tops={name: [lines.of_things([name], one, named) for one in things] for name, things in found.items()},
            failures=_failures(session, workspace_id, now),
        )


def same_span_before(now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Find the span of the month before that ends where this one has come to: the same day, the same full hour.

    When that month is shorter, it ends with the month.
    """
    start, _ = month_of(now, zone)
    before, _ = month_of(start - timedelta(seconds=1), zone)
    hour, first = local_hour_of(now, zone).astimezone(zone), before.astimezone(zone)
    try:
        same = hour.replace(year=first.year, month=first.month, fold=0).astimezone(UTC)
    except ValueError:
        return before, start
    return before, local_hour_of(same, zone)


def change_percent(now: Decimal | int | None, before: Decimal | int | None) -> Decimal | None:
    """Say by how many percent something grew. None where there is nothing to compare: never beside nothing or 0."""
    return None if now is None or not before else (now - before) * PERCENT / before


def _spans(
    session: Session, month: Scope, before: Span, now: datetime, zone: ZoneInfo
) -> tuple[Figures, list[Day], Figures]:
    """Add up, in one statement, a span before the month, each day up to today, and the month until the last full hour.

    What today's clocks do not reach yet counts as today's, so that the days are the whole month.
    """
    today, hour = now.astimezone(zone).date(), local_hour_of(now, zone)
    days = explorer.starts_of(Question(group=DAY, first=today.replace(day=1), last=today), DAY, zone)
    starts = sorted({*before, *days, hour})
    scope = replace(month, start=before[0], hourly=True)
    rows = session.execute(figures.per_bucket(scope, starts))
    found = {starts[row.bucket - 1]: figures.of_row(row) for row in rows}

    def summed(first: datetime, end: datetime) -> Figures:
        return figures.total(one for start, one in found.items() if first <= start < end)

    ends = [*days[1:], month.end]
    each = [(start.astimezone(zone).date(), summed(start, end)) for start, end in zip(days, ends, strict=True)]
    return summed(*before), each, summed(month.start, hour)


def _failures(session: Session, workspace_id: UUID, now: datetime) -> list[Failure]:
    """Count what failed in the last hours by its reason, the most frequent first."""
    row = UsageEventRow
    code = func.coalesce(row.error_code, row.outcome)
    calls, last = func.count(), func.max(row.occurred_at)
    failed = row.outcome.not_in((DONE, UNSETTLED))
    lately = (row.workspace_id == workspace_id, row.occurred_at >= now - LATELY, row.occurred_at <= now, failed)
    rows = session.execute(select(code, calls, last).where(*lately).group_by(code).order_by(calls.desc(), code))
    return [Failure(code=one, calls=count, last_at=last_at) for one, count, last_at in rows]
