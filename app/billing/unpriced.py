"""The unpriced queue: models whose calls have no cost yet, because a meter that they used has no price."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from app.billing.tables import ROLLUPS
from app.extensions import transaction
from app.model import price_rows
from app.model.prices import without_price
from app.model.rate_cards import Consumption, RateCard
from app.wire.usage import METERS

LOOKS_BACK = timedelta(days=400)
MOST_READ = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A model with unpriced calls. `missing` are the meters without a price now; none: a recompute prices the calls."""

    model_id: UUID
    calls: int
    first: datetime
    last: datetime
    missing: tuple[str, ...]


def queue(workspace_id: UUID, *, now: datetime) -> list[Waiting]:
    """List the models that wait for a price, the most calls first; of at most `MOST_READ` deployments."""
    table = ROLLUPS["model_id"]
    hour = table.c.hour_start
    used = [func.sum(table.c[meter]).label(meter) for meter in METERS]
    statement = (
        select(table.c.model_id, table.c.deployment_id, func.sum(table.c.unpriced).label("calls"), *used)
        .add_columns(func.min(hour).label("first"), func.max(hour).label("last"))
        .where(table.c.workspace_id == workspace_id, table.c.unpriced > 0, hour >= now - LOOKS_BACK)
        .group_by(table.c.model_id, table.c.deployment_id)
        .order_by(func.sum(table.c.unpriced).desc(), table.c.model_id, table.c.deployment_id)
        .limit(MOST_READ)
    )
    with transaction(workspace_id) as session:
        rows = list(session.execute(statement))
        card = price_rows.card(workspace_id, {one for row in rows for one in (row.model_id, row.deployment_id)})
    by_model: dict[UUID, Waiting] = {}
    for row in rows:
        known, one = by_model.get(row.model_id), _waiting(workspace_id, row, card, now)
        by_model[row.model_id] = one if known is None else _together(known, one)
    return sorted(by_model.values(), key=lambda one: (-one.calls, one.model_id))


def _together(one: Waiting, other: Waiting) -> Waiting:
    """Take two deployments of a model as one."""
    return Waiting(
        model_id=one.model_id,
        calls=one.calls + other.calls,
        first=min(one.first, other.first),
        last=max(one.last, other.last),
        missing=tuple(dict.fromkeys(one.missing + other.missing)),
    )


def _waiting(workspace_id: UUID, row: Any, card: RateCard, now: datetime) -> Waiting:
    meters = {meter: int(count) for meter in METERS if (count := getattr(row, meter))}
    prices = card.prices_of(Consumption(workspace_id, row.model_id, row.deployment_id, now, meters))
    # The input of one call is not known here; what is missing does not depend on its length.
    missing = without_price(meters, prices) if prices.listed or prices.contract else list(meters or ("input", "output"))
    return Waiting(
        model_id=row.model_id,
        calls=int(row.calls),
        first=row.first,
        last=row.last,
        missing=tuple(missing),
    )
