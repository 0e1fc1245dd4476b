"""Rows of the price book as the price function takes them: those that a charge names, and those that count for some models."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import and_, func, or_, select

from app.extensions import transaction
from app.model.prices import CONTRACT, LIST, Price
from app.model.rate_cards import Adjustment, RateCard
from app.model.tables import PriceAdjustmentRow, PriceRow
from app.units import PLATFORM_ID


def named(workspace_id: UUID, price_ids: Collection[UUID]) -> list[Price]:
    """Read the rows that a charge of the workspace names, in no order; one that is replaced has no time."""
    statement = select(PriceRow).where(
        PriceRow.price_id.in_(price_ids), PriceRow.workspace_id.in_({workspace_id, PLATFORM_ID})
    )
    with transaction(workspace_id) as session:
        return [_price(row) for row in session.scalars(statement)]


def adjustment(workspace_id: UUID, adjustment_id: UUID) -> Adjustment | None:
    """Read one adjustment of the workspace; None when there is no such."""
    with transaction(workspace_id) as session:
        row = session.get(PriceAdjustmentRow, (workspace_id, adjustment_id))
        return None if row is None else _adjustment(row)


def card(workspace_id: UUID, subject_ids: Collection[UUID]) -> RateCard:
    """Read what counts for calls of a workspace to some models and deployments; not what providers take."""
    own = and_(PriceRow.workspace_id == workspace_id, PriceRow.kind.in_((LIST, CONTRACT)))
    shared = and_(PriceRow.workspace_id == PLATFORM_ID, PriceRow.kind == LIST)
    counting = (PriceRow.subject_id.in_(subject_ids), or_(own, shared), ~func.isempty(PriceRow.valid))
    mine = (PriceAdjustmentRow.workspace_id == workspace_id, ~func.isempty(PriceAdjustmentRow.valid))
    with transaction(workspace_id) as session:
        prices = [(row.workspace_id, _price(row)) for row in session.scalars(select(PriceRow).where(*counting))]
        factors = [(workspace_id, _adjustment(row)) for row in session.scalars(select(PriceAdjustmentRow).where(*mine))]
    return RateCard(prices, factors)


def _price(row: PriceRow) -> Price:
    return Price(
        price_id=row.price_id,
        subject_id=row.subject_id,
        meter=row.meter,
        unit_price=row.unit_price,
        kind=row.kind,
        service_tier=row.service_tier,
        context_over=row.context_over,
        start=row.valid.lower,
        end=row.valid.upper,
    )


def _adjustment(row: PriceAdjustmentRow) -> Adjustment:
    return Adjustment(adjustment_id=row.adjustment_id, factor=row.factor, start=row.valid.lower, end=row.valid.upper)
