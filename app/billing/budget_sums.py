"""What was spent of budgets: one statement for all of a workspace, however many, from the figures that the pages show."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Select, Uuid, any_, literal, select, union_all
from sqlalchemy.orm import Session

from app.billing import figures, rollup_zones
from app.billing.figures import Scope
from app.workspace import budget_rules
from app.workspace.budget_rules import WHOLE, Budget
from app.workspace.budget_states import Standing

AHEAD = timedelta(days=36600)
"""Where a period without an end ends for whoever adds up."""

Span = tuple[datetime, datetime | None]


def standings(
    session: Session, workspace_id: UUID, found: Sequence[Budget], now: datetime, timezone: str
) -> list[Standing]:
    """Find how budgets stand, each in its period around an instant, in the order in which they are given."""
    in_zone = rollup_zones.load(timezone)
    spans = {one.period: budget_rules.period_of(one.period, now, in_zone) for one in found}
    sums = _sums(session, workspace_id, found, spans, now)
    made = []
    for one in found:
        spent, unpriced = sums.get((one.scope, one.period, one.scope_id), (0, 0))
        start, end = spans[one.period]
        made.append(Standing(budget=one, spent=Decimal(spent), unpriced=int(unpriced), start=start, end=end))
    return made


def _sums(
    session: Session, workspace_id: UUID, found: Sequence[Budget], spans: dict[str, Span], now: datetime
) -> dict[tuple[str, str, UUID | None], tuple[Decimal, int]]:
    """Add up by scope, period and what the scope is about; what had no calls is missing."""
    asked: dict[tuple[str, str], list[UUID]] = {}
    for one in found:
        asked.setdefault((one.scope, one.period), []).extend([one.scope_id] if one.scope_id else [])
    if not asked:
        return {}
    parts = []
    for (scope, period), ids in asked.items():
        start, end = spans[period]
        within = Scope(workspace_id=workspace_id, start=start, end=end or now + AHEAD, hourly=period == "hour")
        parts.append(_part(within, scope, period, ids))
    rows = session.execute(union_all(*parts))
    return {(scope, period, scope_id): (spent, unpriced) for scope, period, scope_id, spent, unpriced in rows}


def _part(within: Scope, scope: str, period: str, ids: list[UUID]) -> Select[Any]:
    """Ask for the sums of one scope in one period."""
    groups = () if scope == WHOLE else (scope,)
    source = figures.source_for(within, *groups)
    who = source.by(scope) if groups else literal(None, Uuid())
    sums = {column.name: column for column in source.sums()}
    columns = (literal(scope), literal(period), who, sums["billed_cost"], sums["unpriced"])
    asked = select(*columns).where(*figures.within(within, source))
    return asked.where(who == any_(literal(ids, ARRAY(Uuid)))).group_by(who) if groups else asked
