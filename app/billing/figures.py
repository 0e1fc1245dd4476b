"""Figures: the one place where calls are counted and money is added up for people to see.

Page, chart, table and CSV all read here, so a number is the same wherever it stands. Each question is
answered by the narrowest sums that hold it, and by the ledger itself where none do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Row, Select, Text, cast, func, literal, select, text, tuple_
from sqlalchemy.orm import Session

from app.billing import rollup_zones
from app.billing.dimensions import DIMENSIONS, EVERYTHING, THINGS, Only, Value
from app.billing.sources import SUMS, Source, is_id
from app.billing.sources import find as source
from app.billing.tables import COUNTS, RollupZoneRow
from app.wire.usage import METERS

__all__ = ["DIMENSIONS", "EVERYTHING", "SUMS", "THINGS", "Only", "Source", "Value", "source"]

HOUR, DAY, MONTH = "hour", "day", "month"
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
class Scope:
    """Whose calls, since when and until when. Both ends are starts of local hours, of days unless `hourly`."""

    workspace_id: UUID
    start: datetime
    end: datetime
    only: Only = EVERYTHING
    hourly: bool = False


def zone_of(session: Session, workspace_id: UUID) -> tuple[ZoneInfo, bool]:
    """Find the zone whose hours and days the figures have, and whether there has ever been a call.

    It is that of the rollups, which is the workspace's own but for the moments after that was changed.
    """
    built = select(RollupZoneRow.timezone).where(RollupZoneRow.workspace_id == workspace_id).scalar_subquery()
    own = text("(select timezone from workspace where workspace_id = :id) as own").bindparams(id=workspace_id)
    built_by, own_zone = session.execute(select(built, own)).one()
    return rollup_zones.load(built_by or own_zone or "UTC"), built_by is not None


def source_for(scope: Scope, *dimensions: str) -> Source:
    """Find the narrowest sums for a scope that is told apart by some dimensions."""
    return source({*scope.only.given, *dimensions}, hourly=scope.hourly)


def within(scope: Scope, found: Source) -> list[ColumnElement[bool]]:
    """The condition for a source's rows of a scope."""
    span = [one for when in found.whens for one in (when >= scope.start, when < scope.end)]
    wanted = [found.by(name) == one for name, one in scope.only.given.items()]
    return [found.table.c.workspace_id == scope.workspace_id, *span, *wanted]


def per_bucket(scope: Scope, starts: Sequence[datetime], *groups: str) -> Select[Any]:
    """Ask for the sums of each bucket, numbered from 1; told apart by up to two dimensions, null where there is none."""
    found = source_for(scope, *groups)
    bucket = func.width_bucket(found.when, list(starts))
    who = [found.by(group) for group in groups]
    columns = [bucket.label("bucket"), *found.sums()]
    return select(*named(found, groups), *columns).where(*within(scope, found)).group_by(bucket, *who)


def named(found: Source, groups: Sequence[str], *, missing: str | None = None) -> list[ColumnElement[Any]]:
    """The columns `id` and `other` of up to two dimensions, as texts; `missing` stands where there is none."""
    who = [cast(found.by(group), Text) for group in groups]
    none = [cast(literal(missing), Text()) for _ in range(2 - len(groups))]
    return [one.label(name) for one, name in zip((*who, *none), ("id", "other"), strict=True)]


def is_one_of(scope: Scope, groups: Sequence[str], values: Sequence[tuple[Value, ...]]) -> ColumnElement[bool]:
    """The condition for those groups alone."""
    found = source_for(scope, *groups)
    return tuple_(*(found.by(group) for group in groups)).in_(values)


def of_group(row: Row[Any], groups: Sequence[str]) -> tuple[Value, ...]:
    """Take the values of a row's group."""
    texts = (row.id, row.other)[: len(groups)]
    return tuple(UUID(text) if is_id(group) else text for text, group in zip(texts, groups, strict=True))


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
