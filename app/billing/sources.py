"""Sources: what sums and rows there are to read figures from, the narrowest first and the ledger last."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, cast, func, literal, select
from sqlalchemy.sql.selectable import FromClause

from app.application import derived
from app.billing import dimensions
from app.billing.dimensions import IDS, NOBODY, TAG, THINGS
from app.billing.events import DONE, ESTIMATED, PROVISIONAL, UNSETTLED
from app.billing.tables import COUNTS, ROLLUPS, ChargeRow, UsageEventRow
from app.wire.usage import METERS

SUMS = (*COUNTS, *METERS, "billed_cost")
OF_CALLS = frozenset({*THINGS, "alias", "provider", "status"})
"""The dimensions that stand in each call."""
COLUMNS = {"status": "outcome"} | {name: f"{name}_id" for name in THINGS}
"""Dimension → its column, where that is called otherwise."""


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

    def by(self, dimension: str) -> ColumnElement[Any]:
        """The column of a dimension."""
        return self.table.c[COLUMNS.get(dimension, dimension)]

    def with_derived(self, wanted: Iterable[str]) -> "Source":
        """Join what the call's key or application says of it now."""
        names = sorted(wanted)
        if not names:
            return self
        table, joined = self.table, self.table
        facts = {"key": derived.of_keys(), "application": derived.of_applications()}
        for base in sorted({dimensions.base_of(name) for name in names}):
            same = (facts[base].c[name] == table.c[name] for name in ("workspace_id", f"{base}_id"))
            joined = joined.outerjoin(facts[base], and_(*same))
        more = [_derived(name, facts).label(name) for name in names]
        made = select(*table.c, *more).select_from(joined).subquery(f"{table.name}_with")  # type: ignore[attr-defined]
        whens = tuple(made.c[str(when.key)] for when in self.whens)
        return replace(self, table=made, whens=whens, dimensions=self.dimensions | set(names))


def find(asked: Iterable[str], *, hourly: bool = False) -> Source:
    """Find the narrowest sums that keep these dimensions apart. The same ones are the same source."""
    return _found(frozenset(asked), hourly)


@lru_cache(maxsize=256)
def _found(wanted: frozenset[str], hourly: bool) -> Source:
    needed = {dimensions.base_of(one) for one in wanted}
    found = next(one for one, has_hours in _sources() if needed <= one.dimensions and (has_hours or not hourly))
    return found.with_derived(one for one in wanted if dimensions.is_derived(one))


def is_id(dimension: str) -> bool:
    """Tell whether a dimension's values are ids."""
    return dimension in IDS


def _derived(name: str, facts: Mapping[str, FromClause]) -> ColumnElement[Any]:
    if name == "member":
        return func.coalesce(facts["key"].c.owner_id, NOBODY)
    if name == "cost_centre":
        return func.coalesce(facts["application"].c.cost_centre, "")
    return func.coalesce(facts["application"].c.tags[name.removeprefix(TAG)].as_string(), "")


@cache
def _sources() -> tuple[tuple[Source, bool], ...]:
    """From the narrowest to the ledger, each with whether it knows hours."""
    hours = {name: ROLLUPS[f"{name}_id"] for name in THINGS}
    by_hour = {name: Source(table, (table.c.hour_start,), frozenset({name})) for name, table in hours.items()}
    day, ledger = ROLLUPS["day"], _ledger()
    of_days = Source(day, (day.c.day_start,), OF_CALLS)
    of_calls = Source(ledger, (ledger.c.occurred_at, ledger.c.charged_at), OF_CALLS)
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
            func.coalesce(row.application_id, NOBODY).label("application_id"),
            row.key_id,
            row.model_id,
            row.alias,
            row.provider,
            row.outcome,
            *(counts[name].label(name) for name in COUNTS),
            *(getattr(row, meter) for meter in METERS),
            cost,
        )
        .join(ChargeRow, and_(*same))
        .subquery("ledger")
    )
