"""Margins: what a workspace is billed beside what providers take for it, by month. For the platform's eyes alone.

Read from the charges themselves: no rollup has what providers take, so no page of a workspace can show it.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from app.extensions import execute, transaction
from app.units import start_of_day, zone

MONTHS = 3

_SUMS = """
    select date_trunc('month', occurred_at at time zone :timezone)::date as month, count(*) as calls,
        coalesce(sum(billed), 0) as billed, sum(provider_cost) as provider,
        coalesce(sum(billed) filter (where provider_cost is not null), 0) - sum(provider_cost) as margin,
        count(*) filter (where provider_cost is null and billed is distinct from 0) as unknown
    from (select occurred_at, provider_cost, coalesce(corrected_cost, billed_cost) as billed
          from charge where workspace_id = :workspace and occurred_at >= :since) charged
    group by 1 order by 1 desc"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """A month of the workspace. `provider` and `margin` are of the calls whose provider cost is known; None: of none.

    `unknown` counts calls that are not free and have no provider cost.
    """

    month: date
    calls: int
    billed: Decimal
    provider: Decimal | None
    margin: Decimal | None
    unknown: int


def recent(workspace_id: UUID, timezone: str, *, now: datetime) -> list[Margin]:
    """Sum the running month up and those before it, `MONTHS` in all; months without calls are left out."""
    local = now.astimezone(zone(timezone)).date()
    ordinal = local.year * 12 + local.month - MONTHS
    first = date(ordinal // 12, ordinal % 12 + 1, 1)
    values = {"workspace": workspace_id, "timezone": timezone, "since": start_of_day(first, zone(timezone))}
    with transaction(workspace_id) as session:
        return [Margin(**row) for row in execute(session, _SUMS, **values).mappings()]
