"""Why a call costs what it does: its charge, worked out again from the rows that the charge names."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select

from app.billing import rating
from app.billing.tables import ChargeRow, UsageEventRow
from app.extensions import transaction
from app.model import price_rows
from app.model.prices import Line, cost, of_rows, without_price
from app.model.rate_cards import Consumption
from app.units import instant_of
from app.workspace.names import NotFound

VERSION_7 = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A call and its charge. `missing`: the meters whose price was looked for and is not there now.

    `provider_usd` is for the platform's eyes alone. `agrees`: the lines add up to what is charged.
    """

    event_id: UUID
    at: datetime
    model_id: UUID
    alias: str
    provider: str
    upstream_model: str
    service_tier: str | None
    usage_source: str
    billable: bool
    billable_reason: str | None
    meters: dict[str, int]
    list_usd: Decimal | None
    billed_usd: Decimal | None
    provider_usd: Decimal | None
    factor: Decimal
    lines: tuple[Line, ...]
    missing: tuple[str, ...]
    rated_at: datetime
    run_id: UUID | None

    @property
    def agrees(self) -> bool:
        """Tell whether the lines add up to the charge."""
        return self.billed_usd is None or sum((line.billed_usd for line in self.lines), Decimal(0)) == self.billed_usd


def explain(workspace_id: UUID, event_id: UUID) -> Explanation:
    """Explain the charge of one of the workspace's calls; raise `NotFound`."""
    if event_id.version != VERSION_7:
        raise NotFound(f"there is no call {event_id}")
    key = (workspace_id, instant_of(event_id), event_id)
    with transaction(workspace_id) as session:
        call, charge = session.get(UsageEventRow, key), session.get(ChargeRow, key)
        if call is None or charge is None:
            raise NotFound(f"there is no call {event_id}")
        return _explanation(call, charge)


def latest(workspace_id: UUID, model_id: UUID) -> UUID | None:
    """Find the newest call to a model that is unpriced; None without one."""
    key = (ChargeRow.workspace_id == UsageEventRow.workspace_id) & (ChargeRow.event_id == UsageEventRow.event_id)
    statement = (
        select(UsageEventRow.event_id)
        .join(ChargeRow, key & (ChargeRow.occurred_at == UsageEventRow.occurred_at))
        .where(UsageEventRow.workspace_id == workspace_id, UsageEventRow.model_id == model_id)
        .where(ChargeRow.billed_cost.is_(None))
        .order_by(UsageEventRow.occurred_at.desc())
        .limit(1)
    )
    with transaction(workspace_id) as session:
        return session.scalar(statement)


def _explanation(call: UsageEventRow, charge: ChargeRow) -> Explanation:
    workspace_id, meters = call.workspace_id, rating.meters_of(call)
    found = price_rows.adjustment(workspace_id, charge.adjustment_id) if charge.adjustment_id else None
    factor = found.factor if found else Decimal(1)
    lines = cost(meters, of_rows(price_rows.named(workspace_id, charge.price_ids)), factor).lines
    return Explanation(
        event_id=call.event_id,
        at=call.occurred_at,
        model_id=call.model_id,
        alias=call.alias,
        provider=call.provider,
        upstream_model=call.upstream_model,
        service_tier=call.service_tier,
        usage_source=call.usage_source,
        billable=call.billable,
        billable_reason=call.billable_reason,
        meters=meters,
        list_usd=charge.list_cost,
        billed_usd=charge.billed_cost,
        provider_usd=charge.provider_cost,
        factor=factor,
        lines=lines if call.billable else (),
        missing=_missing(call, meters) if charge.billed_cost is None else (),
        rated_at=charge.rated_at,
        run_id=charge.run_id,
    )


def _missing(call: UsageEventRow, meters: dict[str, int]) -> tuple[str, ...]:
    used = Consumption(
        call.workspace_id, call.model_id, call.deployment_id, call.occurred_at, meters, service_tier=call.service_tier
    )
    prices = price_rows.card(call.workspace_id, (call.model_id, call.deployment_id)).prices_of(used)
    if not prices.listed and not prices.contract:
        return tuple(meters) or ("input", "output")
    return tuple(without_price(meters, prices))
