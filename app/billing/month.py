"""The month so far: what was spent, against the same span of the month before, on what, and what fails now."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.billing import explorer, figures, labels, ranking
from app.billing.events import DONE, UNSETTLED
from app.billing.explorer import Line
from app.billing.figures import DIMENSIONS, Figures, Scope
from app.billing.tables import UsageEventRow
from app.extensions import snapshot
from app.units import local_hour_of, month_of

TOP = 5
LATELY = timedelta(hours=24)
PERCENT = Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Calls that failed for one reason; `code` is ours, or how the call ended where it has none."""

    code: str
    calls: int
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """What the workspace did from the month's first instant on.

    `comparable` is what it did until the last full hour, `before` what it had done in the month before by then.
    """

    zone: ZoneInfo
    start: datetime
    now: datetime
    figures: Figures
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
        spans = [(start, end), (start, local_hour_of(now, zone)), before]
        whole, comparable, past = figures.in_spans(session, workspace_id, spans)
        scope = Scope(workspace_id=workspace_id, start=start, end=end)
        found = ranking.tops(session, scope, DIMENSIONS, TOP)
        ids = {name: {one for one, _ in things} for name, things in found.items()}
        named = labels.of(session, workspace_id, ids, before=end)
        return Month(
            zone=zone,
            start=start,
            now=now,
            figures=whole,
            comparable=comparable,
            before=past,
            before_start=before[0],
            before_end=before[1],
            tops={name: [explorer.line(name, one, named) for one in things] for name, things in found.items()},
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


def _failures(session: Session, workspace_id: UUID, now: datetime) -> list[Failure]:
    """Count what failed in the last hours by its reason, the most frequent first."""
    row = UsageEventRow
    code = func.coalesce(row.error_code, row.outcome)
    calls, last = func.count(), func.max(row.occurred_at)
    failed = row.outcome.not_in((DONE, UNSETTLED))
    lately = (row.workspace_id == workspace_id, row.occurred_at >= now - LATELY, row.occurred_at <= now, failed)
    rows = session.execute(select(code, calls, last).where(*lately).group_by(code).order_by(calls.desc(), code))
    return [Failure(code=one, calls=count, last_at=last_at) for one, count, last_at in rows]
