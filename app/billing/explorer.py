"""The usage explorer: a question about some days, answered with lines, a total and a chart that agree.

Everything in one answer is read from one state of the database.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import union_all
from sqlalchemy.orm import Session

from app.billing import figures, labels, lines, ranking, refusals
from app.billing.buckets import bucket_of, name_of, starts_of
from app.billing.dimensions import IDS
from app.billing.figures import HOUR, Figures, Scope
from app.billing.labels import Label, Labels
from app.billing.lines import Line
from app.billing.questions import GROUPS, PERIODS, Question
from app.billing.ranking import Group, Place, Ranked
from app.extensions import snapshot, transaction
from app.units import start_of_day

__all__ = ["GROUPS", "PERIODS", "Question", "starts_of"]

SIZE = 50
MOST_LINES = 100_000
"""Of a file: more are for nobody to read, and would be held in memory."""
MOST_NAMED = 200
"""Up to so many lines are added up alone; of more, all there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`lines` are a page of `count`; `total` is of all. Each of `series` has figures for each of `buckets`.

    `before` is the total of the days before, when they were asked for. `every` has the total of each bucket.
    `tags` names the tags that there are. `refused` counts refused calls by reason; None where they cannot be told.
    """

    question: Question
    zone: ZoneInfo
    scope: Scope
    lines: list[Line]
    count: int
    after: Place | None
    total: Figures
    before: Figures | None
    bucket: str
    buckets: list[tuple[datetime, Label]]
    every: list[Figures]
    series: list[tuple[Line, list[Figures]]]
    labels: Labels
    tags: list[str]
    refused: dict[str, int] | None

    @property
    def others(self) -> Line | None:
        """What the table leaves out: things of other pages, or of the days before alone. None: it is whole."""
        befores = [line.before for line in self.lines if line.before]
        left = self.count - len(self.lines)
        before = figures.less(self.before, befores) if self.before else None
        if not self.question.groups or not (left or (before and before.requests)):
            return None
        name = f"{left:,} others" if left else "not called any more"
        rest = figures.less(self.total, [line.figures for line in self.lines])
        return Line(labels=(Label(name=name),), figures=rest, before=before)


def zone_of(workspace_id: UUID) -> ZoneInfo:
    """Find the zone in which the days of a question are meant."""
    with transaction(workspace_id) as session:
        return figures.zone_of(session, workspace_id)[0]


def ask(workspace_id: UUID, question: Question, *, size: int | None = SIZE, parted: bool = False) -> Answer:
    """Answer a question; `size` None gives all lines at once. `parted`: each line also has its figures by bucket."""
    with snapshot(workspace_id) as session:
        zone, _ = figures.zone_of(session, workspace_id)
        bucket = bucket_of(question)
        starts = starts_of(question, bucket, zone)
        scope = scope_of(workspace_id, question, zone)
        groups = question.groups
        ranked = ranking.page(session, scope, groups, question.after, size) if groups else ranking.NONE
        wanted = [one for one, _ in (*ranked.best, *(ranked.page if parted else ()))]
        sums = _read(session, replace(scope, hourly=bucket == HOUR), starts, groups, wanted)
        past = _past(session, workspace_id, question, zone, ranked) if question.compare else None
        named, tags = labels.with_tags(session, workspace_id, _ids(question, ranked), before=scope.end)
        refused = refusals.of(session, scope)
    every = _parts(sums, (), starts)
    buckets = [(start, name_of(start, bucket, zone)) for start in starts]
    things = [(one, _parts(sums, one[0], starts) if parted else []) for one in ranked.page]
    found = _of_things(groups, things, named, past) if groups else _of_buckets(buckets, every, past)
    return Answer(
        question=question,
        zone=zone,
        scope=scope,
        lines=found,
        count=ranked.groups or len(found),
        after=ranked.after,
        total=figures.total(every),
        before=None if past is None else figures.total(one for (group, _), one in past.items() if not group),
        bucket=bucket,
        buckets=buckets,
        every=every,
        series=_series(groups, ranked, sums, every, named),
        labels=named,
        tags=tags,
        refused=refused,
    )


def scope_of(workspace_id: UUID, question: Question, zone: ZoneInfo) -> Scope:
    """Turn the days of a question into instants."""
    start, end = start_of_day(question.first, zone), start_of_day(question.last + timedelta(days=1), zone)
    return Scope(workspace_id=workspace_id, start=start, end=end, only=question.only)


Groups = tuple[str, ...]
Sums = dict[tuple[Group, int], Figures]
"""By thing, () being all together, and by the number of the bucket."""


def _parts(sums: Sums, group: Group, starts: list[datetime]) -> list[Figures]:
    """The figures of one thing, () being all together, in each bucket."""
    return [sums[group, number] for number in range(len(starts))]


def _of_things(
    groups: Groups, things: list[tuple[tuple[Group, Figures], list[Figures]]], named: Labels, past: Sums | None
) -> list[Line]:
    return [
        lines.of_things(groups, one, named, before=None if past is None else past[one[0], 0], parts=parts)
        for one, parts in things
    ]


def _of_buckets(buckets: list[tuple[datetime, Label]], every: list[Figures], past: Sums | None) -> list[Line]:
    return [
        Line(start=start, labels=(label,), figures=now, before=None if past is None else past[(), number])
        for number, ((start, label), now) in enumerate(zip(buckets, every, strict=True))
    ]


def _past(session: Session, workspace_id: UUID, question: Question, zone: ZoneInfo, ranked: Ranked) -> Sums:
    """Read the figures of the days before, of each line; those of periods in their order."""
    first, last = question.days_before
    before = replace(question, first=first, last=last)
    scope = scope_of(workspace_id, before, zone)
    if question.groups:
        return _read(session, scope, [scope.start], question.groups, [one for one, _ in ranked.page])
    bucket = question.group
    return _read(session, replace(scope, hourly=bucket == HOUR), starts_of(before, bucket, zone), (), [])


def _read(session: Session, scope: Scope, starts: list[datetime], groups: Groups, wanted: list[Group]) -> Sums:
    """Add up all calls by bucket and, in the same statement, those of the wanted things."""
    asked = [figures.per_bucket(scope, starts)]
    if wanted:
        each = figures.per_bucket(scope, starts, *groups)
        asked.append(each.where(figures.is_one_of(scope, groups, wanted)) if len(wanted) <= MOST_NAMED else each)
    found: Sums = defaultdict(figures.nothing)
    for row in session.execute(union_all(*asked)):
        group = () if row.id is None else figures.of_group(row, groups)
        found[group, row.bucket - 1] = figures.of_row(row)
    return found


def _series(
    groups: Groups, ranked: Ranked, sums: Sums, every: list[Figures], named: Labels
) -> list[tuple[Line, list[Figures]]]:
    """Part the chart's bars: the dearest things, and all others together."""
    if not ranked.best:
        return [(Line(labels=(Label(name="all calls"),), figures=figures.total(every)), every)]
    found = [
        (lines.of_things(groups, one, named), [sums[one[0], number] for number in range(len(every))])
        for one in ranked.best
    ]
    if ranked.groups > len(found):
        rest = [figures.less(whole, [parts[number] for _, parts in found]) for number, whole in enumerate(every)]
        label = Label(name=f"{ranked.groups - len(found):,} others")
        found.append((Line(labels=(label,), figures=figures.total(rest)), rest))
    return found


def _ids(question: Question, ranked: Ranked) -> dict[str, set[UUID]]:
    """Gather what has to be named: what the filter is about, and the lines."""
    asked: dict[str, set[UUID]] = {name: set() for name in IDS}
    for name, value in question.only.given.items():
        if isinstance(value, UUID):
            asked[name].add(value)
    for group, _ in (*ranked.best, *ranked.page):
        for name, value in zip(question.groups, group, strict=True):
            if isinstance(value, UUID):
                asked[name].add(value)
    return asked
