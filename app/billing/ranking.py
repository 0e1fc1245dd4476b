"""Ranks things by what they cost: the dearest of all, and pages by keyset."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, Select, func, literal, or_, select, tuple_, union_all
from sqlalchemy.orm import Session

from app.billing import figures
from app.billing.figures import Figures, Scope

BEST = 6
"""How many of the dearest come with every page; a chart tells them apart."""
FEW = frozenset({"application", "model"})
"""Dimensions with so few things that all are added up at once. Of keys there may be thousands: they are ranked first."""
WHOLE, RANKED_BY = figures.SUMS, ("billed_cost", "requests")

Ranking = list[tuple[UUID, Figures]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the next page begins: after the thing with this cost, so many calls and this id."""

    billed: Decimal
    requests: int
    id: UUID


@dataclass(frozen=True, slots=True)
class Ranked:
    """The dearest of all things and those of a page, how many there are, and where the next page begins."""

    best: Ranking
    page: Ranking
    groups: int
    after: Place | None


NONE = Ranked([], [], 0, None)


def page(session: Session, scope: Scope, dimension: str, after: Place | None, size: int | None) -> Ranked:
    """Rank a dimension's things by cost, then by calls; a page of `size` that begins after a place, None being all."""
    rows = session.execute(_ranking(scope, dimension, size + 1 if size else None, after)).all()
    found = [(row.place, row.id, figures.of_row(row)) for row in rows]
    best = [(one, sums) for place, one, sums in found if place <= BEST]
    following = [(one, sums) for _, one, sums in found if after is None or _key(one, sums) < _key_of(after)]
    kept = following[:size]
    more = len(following) > len(kept)
    return Ranked(best, kept, rows[0].groups if rows else 0, _place(*kept[-1]) if more else None)


def tops(session: Session, scope: Scope, dimensions: Sequence[str], size: int) -> dict[str, Ranking]:
    """Find the dearest things of several dimensions in one statement; `size` is at most `BEST`."""
    asked = [_ranking(scope, dimension, 0).subquery(dimension) for dimension in dimensions]
    rows = session.execute(union_all(*(select(one) for one in asked)))
    found: dict[str, Ranking] = {dimension: [] for dimension in dimensions}
    for row in rows:
        if row.place <= size:
            found[row.dimension].append((row.id, figures.of_row(row)))
    return found


def _ranking(scope: Scope, dimension: str, size: int | None, after: Place | None = None) -> Select[Any]:
    """Ask for the best and for `size` things after a place, in order, with all their sums."""
    placed = _placed(scope, dimension, WHOLE if dimension in FEW else RANKED_BY)
    rows = select(placed).order_by(placed.c.place)
    if after:
        follows = tuple_(placed.c.billed_cost, placed.c.requests, placed.c.id) < tuple_(*_key_of(after))
        rows = rows.where(or_(placed.c.place <= BEST, follows))
    if size is not None:
        rows = rows.limit(BEST + size)
    kept = rows.cte(f"kept_{dimension}")
    if dimension not in FEW:
        return _with_sums(scope, dimension, kept)
    columns = [kept.c[name] for name in ("id", "place", "groups", *WHOLE)]
    return select(literal(dimension).label("dimension"), *columns).order_by(kept.c.place)


def _placed(scope: Scope, dimension: str, names: Sequence[str]) -> CTE:
    """Give each thing its place, and add up the columns of these names."""
    found = figures.source_for(scope, dimension)
    who = found.by(dimension)
    cost, calls = func.sum(found.table.c.billed_cost), func.sum(found.table.c.requests)
    place = func.row_number().over(order_by=(cost.desc(), calls.desc(), who.desc()))
    columns = (who.label("id"), place.label("place"), func.count().over().label("groups"))
    placed = select(*columns, *(func.sum(found.table.c[name]).label(name) for name in names))
    return placed.where(*found.within(scope)).group_by(who).cte(f"placed_{dimension}")


def _with_sums(scope: Scope, dimension: str, kept: CTE) -> Select[Any]:
    """Ask for all sums of the things that are kept."""
    found = figures.source_for(scope, dimension)
    columns = (kept.c.id, kept.c.place, kept.c.groups)
    return (
        select(literal(dimension).label("dimension"), *columns, *found.sums())
        .select_from(kept.join(found.table, found.by(dimension) == kept.c.id))
        .where(*found.within(scope))
        .group_by(*columns)
        .order_by(kept.c.place)
    )


def _key(one: UUID, sums: Figures) -> tuple[Decimal, int, UUID]:
    return sums.billed, sums.requests, one


def _key_of(place: Place) -> tuple[Decimal, int, UUID]:
    return place.billed, place.requests, place.id


def _place(one: UUID, sums: Figures) -> Place:
    return Place(billed=sums.billed, requests=sums.requests, id=one)
