"""Figures: the one place where calls are counted and money is added up for people to see.

Page, chart, table and CSV all read here, so a number is the same wherever it stands. Each question is
answered by the narrowest sums that hold it, and by the ledger itself where none do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Integer, Row, Select, Uuid, and_, cast, func, literal, select, text
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import FromClause

from app.billing import rollup_zones
from app.billing.events import DONE, ESTIMATED, PROVISIONAL, UNSETTLED
from app.billing.rollups import NO_APPLICATION
from app.billing.tables import COUNTS, ROLLUPS, ChargeRow, RollupZoneRow, UsageEventRow
from app.wire.usage import METERS

DIMENSIONS = ("application", "model", "key")
HOUR, DAY, MONTH = "hour", "day", "month"
SUMS = (*COUNTS, *METERS, "billed_cost")
PERCENT = Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What some calls come to. `billed` leaves out the unpriced ones, whose cost is unknown."""

    requests: int = 0
    failed: int = 0
    provisional: int = 0
    estimated: int = 0
    unpriced: int = 0
    tokens: Mapping[str, int]
    billed: Decimal = Decimal(0)

    @property
    def cost(self) -> Decimal | None:
        """US dollars; None when all that could cost anything is unpriced, which is not 0."""
        return None if self.unpriced and not self.billed else self.billed

    @property
    def all_tokens(self) -> int:
        """Tokens of every meter: they are disjoint."""
        return sum(self.tokens.values())

    @property
    def failed_percent(self) -> Decimal | None:
        """How many of a hundred calls failed; None without calls."""
        return self.failed * PERCENT / self.requests if self.requests else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Only:
    """Which calls count: those of one application, model or key. None: of all."""

    application: UUID | None = None
    model: UUID | None = None
    key: UUID | None = None

    @property
    def given(self) -> dict[str, UUID]:
        """The dimensions that are narrowed down."""
        ids = {"application": self.application, "model": self.model, "key": self.key}
        return {name: one for name, one in ids.items() if one is not None}


EVERYTHING = Only()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose calls, since when and until when. Both ends are starts of local hours, of days unless `hourly`."""

    workspace_id: UUID
    start: datetime
    end: datetime
    only: Only = EVERYTHING
    hourly: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Sums to read from: their table, the columns that tell when, and the dimensions that they keep apart."""

    table: FromClause
    whens: tuple[ColumnElement[datetime], ...]
    dimensions: frozenset[str]

    @property
    def when(self) -> ColumnElement[datetime]:
        """When the sums were: the start of their hour or day."""
        return self.whens[0]

    def sums(self) -> list[ColumnElement[Any]]:
        """Every column of `SUMS` added up."""
        return [func.coalesce(func.sum(self.table.c[name]), 0).label(name) for name in SUMS]

    def within(self, scope: Scope) -> list[ColumnElement[bool]]:
        """The condition for rows of a scope."""
        columns = self.table.c
        span = [found for when in self.whens for found in (when >= scope.start, when < scope.end)]
        wanted = [self.by(name) == one for name, one in scope.only.given.items()]
        return [columns.workspace_id == scope.workspace_id, *span, *wanted]

    def by(self, dimension: str) -> ColumnElement[UUID]:
        """The column of a dimension."""
        return self.table.c[f"{dimension}_id"]


def zone_of(session: Session, workspace_id: UUID) -> tuple[ZoneInfo, bool]:
    """Find the zone whose hours and days the figures have, and whether there has ever been a call.

    It is that of the rollups, which is the workspace's own but for the moments after that was changed.
    """
    built = select(RollupZoneRow.timezone).where(RollupZoneRow.workspace_id == workspace_id).scalar_subquery()
    own = text("(select timezone from workspace where workspace_id = :id) as own").bindparams(id=workspace_id)
    built_by, own_zone = session.execute(select(built, own)).one()
    return rollup_zones.load(built_by or own_zone or "UTC"), built_by is not None


def source(dimensions: Iterable[str], *, hourly: bool = False) -> Source:
    """Find the narrowest sums that keep these dimensions apart."""
    needed = frozenset(dimensions)
    return next(one for one, has_hours in _sources() if needed <= one.dimensions and (has_hours or not hourly))


def source_for(scope: Scope, *dimensions: str) -> Source:
    """Find the narrowest sums for a scope that is told apart by some dimensions."""
    return source({*scope.only.given, *dimensions}, hourly=scope.hourly)


def per_bucket(scope: Scope, starts: Sequence[datetime], dimension: str | None = None) -> Select[Any]:
    """Ask for the sums of each bucket, numbered from 1; told apart by a dimension, which is null without one."""
    found = source_for(scope, *([dimension] if dimension else []))
    who = found.by(dimension) if dimension else cast(literal(None), Uuid())
    bucket = func.width_bucket(found.when, list(starts))
    grouped = [bucket, found.by(dimension)] if dimension else [bucket]
    return select(who.label("id"), bucket.label("bucket"), *found.sums()).where(*found.within(scope)).group_by(*grouped)


def of_row(row: Row[Any]) -> Figures:
    """Make figures of a row that has every column of `SUMS`."""
    members = row._mapping  # noqa: SLF001 - SQLAlchemy's name for something public
    counts = {name: int(members[name]) for name in COUNTS}
    tokens = {meter: int(members[meter]) for meter in METERS}
    return Figures(tokens=tokens, billed=Decimal(members["billed_cost"]), **counts)


def total(parts: Iterable[Figures]) -> Figures:
    """Add figures up; exact, in any order."""
    return _combine(list(parts), [])


def less(whole: Figures, parts: Iterable[Figures]) -> Figures:
    """Take parts away from what they are part of."""
    return _combine([whole], list(parts))


def nothing() -> Figures:
    """The figures of no calls."""
    return _combine([], [])


def _combine(added: list[Figures], taken: list[Figures]) -> Figures:
    def summed(name: str) -> Any:
        return sum(getattr(one, name) for one in added) - sum(getattr(one, name) for one in taken)

    tokens = {
        meter: sum(one.tokens[meter] for one in added) - sum(one.tokens[meter] for one in taken) for meter in METERS
    }
    return Figures(tokens=tokens, billed=Decimal(summed("billed")), **{name: summed(name) for name in COUNTS})


@cache
def _sources() -> tuple[tuple[Source, bool], ...]:
    """From the narrowest to the ledger, each with whether it knows hours."""
    hours = {name: ROLLUPS[f"{name}_id"] for name in DIMENSIONS}
    by_hour = {name: Source(table, (table.c.hour_start,), frozenset({name})) for name, table in hours.items()}
    day, ledger = ROLLUPS["day"], _ledger()
    of_days = Source(day, (day.c.day_start,), frozenset(DIMENSIONS))
    of_calls = Source(ledger, (ledger.c.occurred_at, ledger.c.charged_at), frozenset(DIMENSIONS))
    return (
        (by_hour["model"], True),
        (by_hour["application"], True),
        (of_days, False),
        (by_hour["key"], True),
        (of_calls, True),
    )


def _ledger() -> FromClause:
    """Each call as a part of its own, in the columns of a rollup."""
    row, cost = UsageEventRow, ChargeRow.billed_cost
    counts = {
        "requests": literal(1),
        "failed": cast(row.outcome.not_in((DONE, UNSETTLED)), Integer),
        "provisional": cast(row.state == PROVISIONAL, Integer),
        "estimated": cast(row.usage_source == ESTIMATED, Integer),
        "unpriced": cast(cost.is_(None), Integer),
    }
    same = [getattr(ChargeRow, name) == getattr(row, name) for name in ("workspace_id", "occurred_at", "event_id")]
    return (
        select(
            row.workspace_id,
            row.occurred_at,
            ChargeRow.occurred_at.label("charged_at"),
            func.coalesce(row.application_id, NO_APPLICATION).label("application_id"),
            row.key_id,
            row.model_id,
            *(counts[name].label(name) for name in COUNTS),
            *(getattr(row, meter) for meter in METERS),
            cost,
        )
        .join(ChargeRow, and_(*same))
        .subquery("ledger")
    )
