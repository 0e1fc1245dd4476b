"""The usage explorer: a question about some days, answered with lines, a total and a chart that agree.

Everything in one answer is read from one state of the database.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import CTE, Select, func, or_, select, tuple_, union_all
from sqlalchemy.orm import Session

from app.billing import figures, labels
from app.billing.figures import DAY, DIMENSIONS, HOUR, MONTH, Figures, Only, Scope
from app.billing.labels import Label, Labels
from app.extensions import transaction
from app.units import local_hour_of, start_of_day

PERIODS = (DAY, MONTH)
GROUPS = (*DIMENSIONS, *PERIODS)
SIZE = 50
TOP = 6
"""How many lines the chart tells apart; the others are one."""
HOURLY_DAYS, DAILY_DAYS = 2, 92
MOST_DAYS = 400
QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: which calls of which local days, both ends included, told apart by what."""

    group: str
    first: date
    last: date
    only: Only = Only()
    after: "Place | None" = None

    @property
    def days(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the next page begins: after the line with this cost, so many calls and this id."""

    billed: Decimal
    requests: int
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: of a thing, by its id; or of a day or month, by its start."""

    id: UUID | None = None
    start: datetime | None = None
    label: Label
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`lines` are a page of `count`; `total` is of all. Each of `series` has figures for each of `buckets`."""

    question: Question
    zone: ZoneInfo
    scope: Scope
    lines: list[Line]
    count: int
    after: Place | None
    total: Figures
    bucket: str
    buckets: list[tuple[datetime, Label]]
    series: list[tuple[Line, list[Figures]]]
    labels: Labels


@dataclass(frozen=True, slots=True)
class _Ranked:
    """The dearest of all things and those of the page, as ids with their figures."""

    best: list[tuple[UUID, Figures]]
    page: list[tuple[UUID, Figures]]
    count: int
    after: Place | None


_NONE = _Ranked([], [], 0, None)


def zone_of(workspace_id: UUID) -> ZoneInfo:
    """Find the zone in which the days of a question are meant."""
    with transaction(workspace_id) as session:
        return figures.zone_of(session, workspace_id)[0]


def ask(workspace_id: UUID, question: Question, *, size: int | None = SIZE) -> Answer:
    """Answer a question; `size` None gives all lines at once."""
    with transaction(workspace_id, snapshot=True) as session:
        zone, _ = figures.zone_of(session, workspace_id)
        bucket = bucket_of(question)
        starts = starts_of(question, bucket, zone)
        scope = scope_of(workspace_id, question, zone)
        ranked = _ranked(session, scope, question, size) if question.group in DIMENSIONS else _NONE
        sums = _sums(session, replace(scope, hourly=bucket == HOUR), starts, question.group, ranked)
        named = labels.of(session, workspace_id, _ids(question, ranked), before=scope.end)
    every = [sums[None, number] for number in range(len(starts))]
    if question.group in PERIODS:
        lines = [
            Line(start=start, label=_period(start, bucket, zone), figures=one)
            for start, one in zip(starts, every, strict=True)
        ]
    else:
        lines = [_line(question.group, found, named) for found in ranked.page]
    return Answer(
        question=question,
        zone=zone,
        scope=scope,
        lines=lines,
        count=ranked.count or len(lines),
        after=ranked.after,
        total=figures.total(every),
        bucket=bucket,
        buckets=[(start, _period(start, bucket, zone)) for start in starts],
        series=_series(question.group, ranked, sums, every, named),
        labels=named,
    )


def scope_of(workspace_id: UUID, question: Question, zone: ZoneInfo) -> Scope:
    """Turn the days of a question into instants."""
    start, end = start_of_day(question.first, zone), start_of_day(question.last + timedelta(days=1), zone)
    return Scope(workspace_id=workspace_id, start=start, end=end, only=question.only)


def bucket_of(question: Question) -> str:
    """Choose how long the bars of the chart are."""
    if question.group in PERIODS:
        return question.group
    if question.days <= HOURLY_DAYS:
        return HOUR
    return DAY if question.days <= DAILY_DAYS else MONTH


def starts_of(question: Question, bucket: str, zone: ZoneInfo) -> list[datetime]:
    """List the starts of the hours, days or months of a question; an hour that is lived twice is there twice."""
    days = [question.first + timedelta(days=number) for number in range(question.days)]
    if bucket == MONTH:
        days = [day for day in days if day.day == 1 or day == question.first]
    starts = [start_of_day(day, zone) for day in days]
    if bucket == HOUR:
        end = start_of_day(question.last + timedelta(days=1), zone)
        quarters = [starts[0] + number * QUARTER for number in range((end - starts[0]) // QUARTER)]
        starts = [local_hour_of(quarter, zone) for quarter in quarters]
    return sorted(set(starts))


def _ranked(session: Session, scope: Scope, question: Question, size: int | None) -> _Ranked:
    """Rank the things by cost, then by calls: the best of all, and the page that begins after a place."""
    placed = _placed(scope, question.group)
    order = tuple_(placed.c.billed_cost, placed.c.requests, placed.c.id)
    rows = select(placed)
    if question.after:
        after = question.after
        rows = rows.where(or_(placed.c.place <= TOP, order < tuple_(after.billed, after.requests, after.id)))
    if size:
        rows = rows.order_by(placed.c.place).limit(TOP + size + 1)
    found = [(row, figures.of_row(row)) for row in session.execute(_with_sums(scope, question.group, rows.cte("kept")))]
    best = [(row.id, one) for row, one in found if row.place <= TOP]
    page = [(row.id, one) for row, one in found if _comes_after(question.after, row.id, one)]
    kept = page[:size] if size else page
    last = kept[-1] if kept and len(page) > len(kept) else None
    after = Place(billed=last[1].billed, requests=last[1].requests, id=last[0]) if last else None
    return _Ranked(best, kept, found[0][0].count if found else 0, after)


def _placed(scope: Scope, group: str) -> CTE:
    """Give each thing its place, by two of its sums only: there may be thousands of things."""
    found = figures.source_for(scope, group)
    who = found.by(group)
    cost, calls = func.sum(found.table.c.billed_cost), func.sum(found.table.c.requests)
    place = func.row_number().over(order_by=(cost.desc(), calls.desc(), who.desc()))
    columns = (who.label("id"), cost.label("billed_cost"), calls.label("requests"))
    return (
        select(*columns, place.label("place"), func.count().over().label("count"))
        .where(*found.within(scope))
        .group_by(who)
        .cte("placed")
    )


def _with_sums(scope: Scope, group: str, kept: CTE) -> Select[Any]:
    """Ask for all sums of the things that are kept."""
    found = figures.source_for(scope, group)
    columns = (kept.c.id, kept.c.place, kept.c.count)
    joined = kept.join(found.table, found.by(group) == kept.c.id)
    return (
        select(*columns, *found.sums())
        .select_from(joined)
        .where(*found.within(scope))
        .group_by(*columns)
        .order_by(kept.c.place)
    )


def _comes_after(after: Place | None, id: UUID, found: Figures) -> bool:  # noqa: A002 - reads as the row does
    return after is None or (found.billed, found.requests, id) < (after.billed, after.requests, after.id)


Sums = dict[tuple[UUID | None, int], Figures]


def _sums(session: Session, scope: Scope, starts: list[datetime], group: str, ranked: _Ranked) -> Sums:
    """Read the chart's figures: by thing, None being all together, and by the number of the bucket."""
    asked = [figures.per_bucket(scope, starts)]
    if ranked.best:
        best = figures.source_for(scope, group).by(group).in_([one for one, _ in ranked.best])
        asked.append(figures.per_bucket(scope, starts, group).where(best))
    found: Sums = defaultdict(figures.nothing)
    for row in session.execute(union_all(*asked)):
        found[row.id, row.bucket - 1] = figures.of_row(row)
    return found


def _series(
    group: str, ranked: _Ranked, sums: Sums, every: list[Figures], named: Labels
) -> list[tuple[Line, list[Figures]]]:
    """Part the chart's bars: the dearest things, and all others together."""
    if not ranked.best:
        return [(Line(label=Label(name="all calls"), figures=figures.total(every)), every)]
    found = [(_line(group, one, named), [sums[one[0], number] for number in range(len(every))]) for one in ranked.best]
    if ranked.count > len(found):
        rest = [figures.less(whole, [parts[number] for _, parts in found]) for number, whole in enumerate(every)]
        label = Label(name=f"{ranked.count - len(found):,} others")
        found.append((Line(label=label, figures=figures.total(rest)), rest))
    return found


def _ids(question: Question, ranked: _Ranked) -> dict[str, set[UUID]]:
    """Gather what has to be named: what the filter is about, and the lines."""
    asked = {name: {one} for name, one in question.only.given.items()}
    if question.group in DIMENSIONS:
        asked.setdefault(question.group, set()).update(one for one, _ in (*ranked.best, *ranked.page))
    return asked


def _line(group: str, found: tuple[UUID, Figures], named: Labels) -> Line:
    return Line(id=found[0], label=named[group].get(found[0], labels.UNKNOWN), figures=found[1])


def _period(start: datetime, bucket: str, zone: ZoneInfo) -> Label:
    """Name an hour, a day or a month by its zone's calendar; an hour says by which offset it is meant."""
    shape = {HOUR: "%Y-%m-%d %H:%M %Z", DAY: "%Y-%m-%d", MONTH: "%Y-%m"}[bucket]
    return Label(name=start.astimezone(zone).strftime(shape))
