"""Corrections: what a closed month's bill turns out to be wrong by, carried by the month that runs then.

They are written in the transaction that finds the difference: ingest's for calls that come late (`late_calls`), a
recompute's for calls that cost otherwise (`recompute`). Whoever closes or reopens a month waits for it. So at any
instant, and to the last digit:

    a closed month's statement + its corrections = its charges, each as it is corrected (`charge.corrected_cost`)
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from app.billing import periods
from app.billing.period_tables import CorrectionRow
from app.billing.periods import Period
from app.extensions import execute
from app.units import new_id

NOTHING = Decimal(0)
REOPENED = "the month was reopened and bills its late calls itself"

_NOW = """
    select id, coalesce(timezone, 'UTC'), (select max(month) from billing_period where workspace_id = id)
    from unnest(%s::uuid[]) as id left join workspace on workspace_id = id"""
_ADD = """
    insert into correction (workspace_id, correction_id, closed_month, into_month, application_id, model_id, run_id, calls,
        amount, reason) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
# What the corrections of a month come to beyond what its charges say of them: the calls that its next statement bills.
_BILLED_ITSELF = text("""
    select application_id, model_id, sum(calls)::bigint, sum(amount) from (
        select application_id, model_id, calls, amount from correction
        where workspace_id = :workspace and closed_month = :month
        union all
        select u.application_id, u.model_id, 0, coalesce(c.billed_cost, 0) - c.corrected_cost
        from charge c join usage_event u using (workspace_id, occurred_at, event_id)
        where c.workspace_id = :workspace and c.occurred_at >= :start and c.occurred_at < :end
            and c.corrected_cost is not null
            and u.workspace_id = :workspace and u.occurred_at >= :start and u.occurred_at < :end
    ) known
    group by application_id, model_id having sum(calls) <> 0 or sum(amount) <> 0""")


class About(NamedTuple):
    """What one correction is about."""

    workspace_id: UUID
    month: date
    application_id: UUID | None
    model_id: UUID


Sums = dict[About, tuple[int, Decimal]]
"""Calls and money that things are corrected by."""


def add(sums: Sums, about: About, calls: int, amount: Decimal) -> None:
    """Add to what things are corrected by."""
    known = sums.get(about, (0, NOTHING))
    sums[about] = known[0] + calls, known[1] + amount


def write(
    database: psycopg.Connection,
    sums: Mapping[About, tuple[int, Decimal]],
    reason: str,
    *,
    now: datetime,
    run_id: UUID | None = None,
) -> int:
    """Write what differs into the months that run now, under their buckets' lock; answer how many corrections these are."""
    found = {about: change for about, change in sums.items() if any(change)}
    if not found:
        return 0
    asked = database.execute(_NOW.encode(), [list({about.workspace_id for about in found})])
    into = {workspace_id: periods.not_left(timezone, newest, now) for workspace_id, timezone, newest in asked}
    with database.cursor() as cursor:
        cursor.executemany(
            _ADD,
            [
                (one.workspace_id, new_id(), one.month, into[one.workspace_id], *one[2:], run_id, *change, reason)
                for one, change in found.items()
            ],
        )
    return len(found)


def undo(session: Session, period: Period, into: date) -> int:
    """Take back, into the running month, what a reopened month bills itself from now on; answer how many corrections.

    These are its late calls: its next statement has them. What recomputes have corrected stays until one of them goes
    over the month again, since its charges are still those of its first statement.
    """
    execute(session, "select set_config('enable_nestloop', 'off', true)")
    span = {"workspace": period.workspace_id, "month": period.month, "start": period.start, "end": period.end}
    values = [
        {
            "workspace_id": period.workspace_id,
            "correction_id": new_id(),
            "closed_month": period.month,
            "into_month": into,
            "application_id": application_id,
            "model_id": model_id,
            "calls": -count,
            "amount": -usd,
            "reason": REOPENED,
        }
        for application_id, model_id, count, usd in session.execute(_BILLED_ITSELF, span)
    ]
    if values:
        session.execute(insert(CorrectionRow), values)
    return len(values)


def billed_of(row: Any) -> Decimal:
    """What a charge says that a call is billed; an unpriced one adds nothing until it is priced."""
    return row.billed_cost or NOTHING


def cost_of(row: Any) -> Decimal:
    """What a call comes to with all that corrects it."""
    return billed_of(row) if row.corrected_cost is None else row.corrected_cost
