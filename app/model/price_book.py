"""The price book: what a meter costs, and since when. A row is never edited, only followed by another."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.orm import Session

from app.extensions import transaction
from app.logging import audit
from app.model.tables import DeploymentRow, ModelRow, PriceRow
from app.units import new_id
from app.wire.usage import METERS
from app.workspace import revisions
from app.workspace.names import Invalid

DECIMALS = 6
DEAREST = Decimal(1_000_000)
SMALLEST_STEP = timedelta(microseconds=1)


def set_prices(workspace_id: UUID, subject_id: UUID, prices: Mapping[str, Decimal], *, now: datetime) -> bool:
    """Set the list prices of a model or deployment, in dollars per million tokens by meter; tell whether any changed.

    A meter's first price counts for all time before as well. A changed one counts from `now`, and one
    that is left out ends at `now`. Raises `Invalid` for an unknown meter or an amount that is not exact.
    """
    for meter, unit_price in prices.items():
        check(meter, unit_price)
    with transaction(workspace_id) as session:
        rows = _rows(session, workspace_id, subject_id)
        current = {row.meter: row.unit_price for row in rows if row.valid.upper is None}
        changed = [meter for meter in {**current, **prices} if current.get(meter) != prices.get(meter)]
        for meter in changed:
            start = _follow([row for row in rows if row.meter == meter], now)
            session.flush()
            if meter in prices:
                session.add(_new(workspace_id, subject_id, meter, prices[meter], start))
        if changed:
            revisions.bump_catalogue()
            name = _name_of(session, workspace_id, subject_id)
            audit.record("price.update", kind="price", id=subject_id, name=name, before=current, after=prices)
        return bool(changed)


def current(workspace_id: UUID) -> dict[UUID, dict[str, Decimal]]:
    """Read the list prices that have no end: subject → meter → dollars per million tokens."""
    statement = select(PriceRow.subject_id, PriceRow.meter, PriceRow.unit_price).where(
        PriceRow.workspace_id == workspace_id, PriceRow.kind == "list", func.upper_inf(PriceRow.valid)
    )
    found: dict[UUID, dict[str, Decimal]] = {}
    with transaction(workspace_id) as session:
        for subject_id, meter, unit_price in session.execute(statement):
            found.setdefault(subject_id, {})[meter] = unit_price
    return found


def check(meter: str, unit_price: Decimal) -> None:
    """Raise `Invalid` for a meter that there is not, or a price that cannot be stored exactly."""
    if meter not in METERS:
        raise Invalid(meter, f"is no meter; there are {', '.join(METERS)}")
    if not unit_price.is_finite() or not 0 <= unit_price <= DEAREST:
        raise Invalid(meter, f"must be from 0 to {DEAREST} dollars per million tokens")
    if unit_price != round(unit_price, DECIMALS):
        raise Invalid(meter, f"has more than {DECIMALS} decimals")


def _rows(session: Session, workspace_id: UUID, subject_id: UUID) -> list[PriceRow]:
    mine = (PriceRow.workspace_id == workspace_id, PriceRow.subject_id == subject_id, PriceRow.kind == "list")
    return list(session.scalars(select(PriceRow).where(*mine).order_by(func.lower(PriceRow.valid).nulls_first())))


def _name_of(session: Session, workspace_id: UUID, subject_id: UUID) -> str:
    """Name a model or a deployment; empty when it is gone."""
    model = session.get(ModelRow, (workspace_id, subject_id))
    if model:
        return model.name
    deployment = session.get(DeploymentRow, (workspace_id, subject_id))
    return deployment.upstream_model if deployment else ""


def _follow(rows: list[PriceRow], now: datetime) -> datetime | None:
    """End a meter's price now, and say when the next one starts; None is for all time.

    Never before the price itself started, should the clock have gone back: an empty range has no
    bounds, and would read as a price for all time.
    """
    if not rows:
        return None
    last = rows[-1]
    if last.valid.upper is not None:
        return max(now, last.valid.upper)
    end = now if last.valid.lower is None else max(now, last.valid.lower + SMALLEST_STEP)
    last.valid = Range(last.valid.lower, end)
    return end


def _new(workspace_id: UUID, subject_id: UUID, meter: str, unit_price: Decimal, start: datetime | None) -> PriceRow:
    row = PriceRow(workspace_id=workspace_id, price_id=new_id(), subject_id=subject_id, meter=meter)
    row.kind, row.unit_price, row.valid = "list", unit_price, Range(start, None)
    return row
