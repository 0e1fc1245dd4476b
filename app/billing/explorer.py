"""The usage explorer: a question about some days, answered with lines, a total and a chart that agree.

Everything in one answer is read from one state of the database.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import union_all
from sqlalchemy.orm import Session

from app.billing import figures, labels, ranking
from app.billing.figures import DAY, DIMENSIONS, EVERYTHING, HOUR, MONTH, Figures, Only, Scope
from app.billing.labels import Label, Labels
from app.billing.ranking import Place, Ranked
from app.extensions import snapshot, transaction
from app.units import local_hour_of, start_of_day

PERIODS = (DAY, MONTH)
GROUPS = (*DIMENSIONS, *PERIODS)
SIZE = 50
HOURLY_DAYS, DAILY_DAYS = 2, 92
MOST_DAYS = 400
QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: which calls of which local days, both ends included, told apart by what."""

    group: str
    first: date
    last: date
    only: Only = EVERYTHING
    after: Place | None = None

    @property
    def days(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1


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


def zone_of(workspace_id: UUID) -> ZoneInfo:
    """Find the zone in which the days of a question are meant."""
    with transaction(workspace_id) as session:
        return figures.zone_of(session, workspace_id)[0]


def ask(workspace_id: UUID, question: Question, *, size: int | None = SIZE) -> Answer:
    """Answer a question; `size` None gives all lines at once."""
    with snapshot(workspace_id) as session:
        zone, _ = figures.zone_of(session, workspace_id)
        bucket = bucket_of(question)
        starts = starts_of(question, bucket, zone)
        scope = scope_of(workspace_id, question, zone)
        thing = question.group in DIMENSIONS
        ranked = ranking.page(session, scope, question.group, question.after, size) if thing else ranking.NONE
        sums = _sums(session, replace(scope, hourly=bucket == HOUR), starts, question.group, ranked)
        named = labels.of(session, workspace_id, _ids(question, ranked), before=scope.end)
    every = [sums[None, number] for number in range(len(starts))]
    if question.group in PERIODS:
        lines = [
            Line(start=start, label=_period(start, bucket, zone), figures=one)
            for start, one in zip(starts, every, strict=True)
        ]
    else:
        lines = [line(question.group, found, named) for found in ranked.page]
    return Answer(
        question=question,
        zone=zone,
        scope=scope,
        lines=lines,
        count=ranked.groups or len(lines),
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
    """List the starts of the hours, days or months of a question; an hour that is lived twice is there twice.

    Where a zone moves by half an hour, what has no start of its own counts in the hour before.
    """
    days = [question.first + timedelta(days=number) for number in range(question.days)]
    if bucket == MONTH:
        days = [day for day in days if day.day == 1 or day == question.first]
    starts = [start_of_day(day, zone) for day in days]
    if bucket == HOUR:
        end = start_of_day(question.last + timedelta(days=1), zone)
        quarters = [starts[0] + number * QUARTER for number in range((end - starts[0]) // QUARTER)]
        starts = [quarter for quarter in quarters if local_hour_of(quarter, zone) == quarter]
    return sorted(set(starts))


Sums = dict[tuple[UUID | None, int], Figures]


def _sums(session: Session, scope: Scope, starts: list[datetime], group: str, ranked: Ranked) -> Sums:
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
    group: str, ranked: Ranked, sums: Sums, every: list[Figures], named: Labels
) -> list[tuple[Line, list[Figures]]]:
    """Part the chart's bars: the dearest things, and all others together."""
    if not ranked.best:
        return [(Line(label=Label(name="all calls"), figures=figures.total(every)), every)]
    found = [(line(group, one, named), [sums[one[0], number] for number in range(len(every))]) for one in ranked.best]
    if ranked.groups > len(found):
        rest = [figures.less(whole, [parts[number] for _, parts in found]) for number, whole in enumerate(every)]
        label = Label(name=f"{ranked.groups - len(found):,} others")
        found.append((Line(label=label, figures=figures.total(rest)), rest))
    return found


def _ids(question: Question, ranked: Ranked) -> dict[str, set[UUID]]:
    """Gather what has to be named: what the filter is about, and the lines."""
    asked = {name: {one} for name, one in question.only.given.items()}
    if question.group in DIMENSIONS:
        asked.setdefault(question.group, set()).update(one for one, _ in (*ranked.best, *ranked.page))
    return asked


def line(group: str, found: tuple[UUID, Figures], named: Labels) -> Line:
    """Make the line of a thing, with its name."""
    return Line(id=found[0], label=named[group].get(found[0], labels.UNKNOWN), figures=found[1])


def _period(start: datetime, bucket: str, zone: ZoneInfo) -> Label:
    """Name an hour, a day or a month by its zone's calendar; an hour says by which offset it is meant."""
    shape = {HOUR: "%Y-%m-%d %H:%M %Z", DAY: "%Y-%m-%d", MONTH: "%Y-%m"}[bucket]
    return Label(name=start.astimezone(zone).strftime(shape))
