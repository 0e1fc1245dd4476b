"""Ranks things, or pairs of things, by what they cost: the dearest of all, and pages by keyset."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import CTE, Select, Text, Uuid, and_, cast, func, literal, or_, select, tuple_, union_all
from sqlalchemy.orm import Session

from app.billing import figures
from app.billing.figures import Figures, Scope, Value
from app.billing.sources import is_id

BEST = 6
"""How many of the dearest come with every page; a chart tells them apart."""
MANY = frozenset({"key"})
"""Dimensions with thousands of things: they are ranked before all is added up. Of others all are added up at once."""
WHOLE, RANKED_BY = figures.SUMS, ("billed_cost", "requests")

Group = tuple[Value, ...]
Ranking = list[tuple[Group, Figures]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the next page begins: after the thing with this cost, so many calls and this id; `other` is of a pair."""

    billed: Decimal
    requests: int
    id: str
    other: str = ""


@dataclass(frozen=True, slots=True)
class Ranked:
    """The dearest of all things and those of a page, how many there are, and where the next page begins."""

    best: Ranking
    page: Ranking
    groups: int
    after: Place | None


NONE = Ranked([], [], 0, None)


def page(session: Session, scope: Scope, groups: Sequence[str], after: Place | None, size: int | None) -> Ranked:
    """Rank things by cost, then by calls; a page of `size` that begins after a place, None being all."""
    rows = session.execute(_ranking(scope, groups, size + 1 if size else None, after)).all()
    found = [(row.place, figures.of_group(row, groups), figures.of_row(row)) for row in rows]
    best = [(one, sums) for place, one, sums in found if place <= BEST]
    following = [(one, sums) for _, one, sums in found if after is None or _key(place_of(one, sums)) < _key(after)]
    kept = following[:size]
    more = len(following) > len(kept)
    return Ranked(best, kept, rows[0].groups if rows else 0, place_of(*kept[-1]) if more else None)


def tops(session: Session, scope: Scope, dimensions: Sequence[str], size: int) -> dict[str, Ranking]:
    """Find the dearest things of several dimensions in one statement; `size` is at most `BEST`."""
    asked = [_ranking(scope, [dimension], 0).subquery(dimension) for dimension in dimensions]
    rows = session.execute(union_all(*(select(one) for one in asked)))
    found: dict[str, Ranking] = {dimension: [] for dimension in dimensions}
    for row in rows:
        if row.place <= size:
            found[row.dimension].append((figures.of_group(row, [row.dimension]), figures.of_row(row)))
    return found


def place_of(one: Group, sums: Figures) -> Place:
    """Say where a thing stands."""
    texts = [str(value) for value in (*one, "")]
    return Place(billed=sums.billed, requests=sums.requests, id=texts[0], other=texts[1])


def place_text(after: Place) -> str:
    """Write where a page begins, as an address has it."""
    stated = [f"{after.billed:f}", after.requests, after.id, after.other]
    return base64.urlsafe_b64encode(msgspec.json.encode(stated)).decode().rstrip("=")


def read_place(text: str) -> Place | None:
    """Read where a page begins; None for what is no place."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        billed, requests, one, other = msgspec.json.decode(raw, type=tuple[str, int, str, str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", billed) or not 0 <= requests < 10**18 or "\0" in one + other:
        return None
    return Place(billed=Decimal(billed), requests=requests, id=one, other=other)


def _ranking(scope: Scope, groups: Sequence[str], size: int | None, after: Place | None = None) -> Select[Any]:
    """Ask for the best and for `size` things after a place, in order, with all their sums."""
    many = not MANY.isdisjoint(groups)
    placed = _placed(scope, groups, RANKED_BY if many else WHOLE)
    rows = select(placed).order_by(placed.c.place)
    if after:
        texts = [placed.c[name].collate("C") for name in ("id", "other")]
        follows = tuple_(placed.c.billed_cost, placed.c.requests, *texts) < tuple_(*_key(after))
        rows = rows.where(or_(placed.c.place <= BEST, follows))
    if size is not None:
        rows = rows.limit(BEST + size)
    kept = rows.cte(f"kept_{groups[0]}")
    if many:
        return _with_sums(scope, groups, kept)
    columns = [kept.c[name] for name in ("id", "other", "place", "groups", *WHOLE)]
    return select(literal(groups[0]).label("dimension"), *columns).order_by(kept.c.place)


def _placed(scope: Scope, groups: Sequence[str], names: Sequence[str]) -> CTE:
    """Give each thing its place, and add up the columns of these names."""
    found = figures.source_for(scope, *groups)
    who = [found.by(group) for group in groups]
    sums = [func.sum(found.table.c[name]).label(name) for name in names]
    within = figures.within(scope, found)
    summed = select(*figures.named(found, groups, missing=""), *sums).where(*within).group_by(*who)
    each = summed.cte(f"each_{groups[0]}")
    texts = [each.c[name].collate("C").desc() for name in ("id", "other")]
    place = func.row_number().over(order_by=(each.c.billed_cost.desc(), each.c.requests.desc(), *texts))
    return select(each, place.label("place"), func.count().over().label("groups")).cte(f"placed_{groups[0]}")


def _with_sums(scope: Scope, groups: Sequence[str], kept: CTE) -> Select[Any]:
    """Ask for all sums of the things that are kept."""
    found = figures.source_for(scope, *groups)
    columns = (kept.c.id, kept.c.other, kept.c.place, kept.c.groups)
    named = zip(groups, ("id", "other"), strict=False)
    same = [found.by(group) == cast(kept.c[name], Uuid() if is_id(group) else Text()) for group, name in named]
    return (
        select(literal(groups[0]).label("dimension"), *columns, *found.sums())
        .select_from(kept.join(found.table, and_(*same)))
        .where(*figures.within(scope, found))
        .group_by(*columns)
        .order_by(kept.c.place)
    )


def _key(place: Place) -> tuple[Decimal, int, str, str]:
    return place.billed, place.requests, place.id, place.other
