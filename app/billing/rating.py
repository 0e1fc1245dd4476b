"""Rating: what calls cost, by the one price function and the price book's rows.

rates(connection, events) -> Rates                      # for calls that arrive
rates_for(connection, workspace_ids, subject_ids) -> Rates  # for calls of the ledger
Rates.charge(event, occurred_at) -> Charge
Rates.charge_row(row) -> Charge                         # `row` has the columns of usage_event as attributes
Rates.explain(row) -> Rated                             # the same with its lines, for FOCUS and explanations
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from app.billing.events import UsageEvent
from app.model.prices import Price
from app.model.rate_cards import Adjustment, Consumption, RateCard, Rated
from app.units import Usd
from app.wire.usage import METERS

_PRICES = """
    select workspace_id, price_id, subject_id, meter, unit_price, kind, service_tier, context_over,
           nullif(lower(valid), '-infinity'), nullif(upper(valid), 'infinity')
    from price where subject_id = any(%s) and (kind <> 'contract' or workspace_id = any(%s)) and not isempty(valid)"""
_ADJUSTMENTS = """
    select workspace_id, adjustment_id, factor, nullif(lower(valid), '-infinity'), nullif(upper(valid), 'infinity')
    from price_adjustment where workspace_id = any(%s) and not isempty(valid)"""


class Charge(msgspec.Struct, frozen=True):
    """What one call costs, in US dollars, and the price rows that say so. None is unknown, which is not 0.

    `usd` is what its workspace is billed; unpriced is None. `provider_usd` is for the platform's eyes alone.
    """

    usd: Usd | None
    price_ids: tuple[UUID, ...] = ()
    list_usd: Usd | None = None
    provider_usd: Usd | None = None
    adjustment_id: UUID | None = None


FREE = Charge(Usd(Decimal(0)), list_usd=Usd(Decimal(0)))
UNPRICED = Charge(None)


class Rates:
    """The price rows and adjustments that some calls need."""

    def __init__(self, card: RateCard) -> None:
        self.card = card

    def charge(self, event: UsageEvent, occurred_at: datetime) -> Charge:
        """Price one call at its instant; not billable is 0 by no price row."""
        return _charge(self.card.rate(_used(event, occurred_at, event.meters))) if event.billable else FREE

    def charge_row(self, row: Any) -> Charge:
        """Price one call of the ledger again."""
        return _charge(self.explain(row)) if row.billable else FREE

    def explain(self, row: Any) -> Rated:
        """Price one billable call of the ledger line by line."""
        return self.card.rate(_used(row, row.occurred_at, meters_of(row)))


def rates(connection: psycopg.Connection, events: Collection[UsageEvent]) -> Rates:
    """Read what counts for everything that the events used, all versions of it."""
    subjects = {subject for event in events for subject in (event.deployment_id, event.model_id)}
    return rates_for(connection, {event.workspace_id for event in events}, subjects)


def rates_for(connection: psycopg.Connection, workspace_ids: Collection[UUID], subject_ids: Collection[UUID]) -> Rates:
    """Read all versions of the prices of some models and deployments, and of the workspaces' adjustments."""
    workspaces = list(workspace_ids)
    prices = connection.execute(_PRICES, [list(subject_ids), workspaces])
    adjustments = connection.execute(_ADJUSTMENTS, [workspaces])
    return Rates(RateCard(map(_price, prices), map(_adjustment, adjustments)))


def meters_of(row: Any) -> dict[str, int]:
    """Collect the meters of a call from its row in the ledger: those that are not 0."""
    common = {meter: count for meter in METERS if (count := getattr(row, meter))}
    return common | {meter: count for meter, count in (row.other_meters or {}).items() if count}


def _used(call: Any, occurred_at: datetime, meters: dict[str, int]) -> Consumption:
    """An event and a row of the ledger have the same names."""
    return Consumption(
        call.workspace_id, call.model_id, call.deployment_id, occurred_at, meters, service_tier=call.service_tier
    )


def _charge(rated: Rated) -> Charge:
    cost = rated.cost
    if cost.billed_usd is None:
        return UNPRICED if cost.provider_usd is None else Charge(None, provider_usd=cost.provider_usd)
    return Charge(cost.billed_usd, cost.price_ids, cost.list_usd, cost.provider_usd, rated.adjustment_id)


def _price(row: tuple[Any, ...]) -> tuple[UUID, Price]:
    """Read a row of `_PRICES`: its owner and its price."""
    owner, price_id, subject_id, meter, unit_price, kind, service_tier, context_over, start, end = row
    price = Price(
        price_id=price_id,
        subject_id=subject_id,
        meter=meter,
        unit_price=unit_price,
        kind=kind,
        service_tier=service_tier,
        context_over=context_over,
        start=start,
        end=end,
    )
    return owner, price


def _adjustment(row: tuple[UUID, UUID, Decimal, datetime | None, datetime | None]) -> tuple[UUID, Adjustment]:
    workspace_id, adjustment_id, factor, start, end = row
    return workspace_id, Adjustment(adjustment_id=adjustment_id, factor=factor, start=start, end=end)
