"""Credits: money that the platform takes off a month's statement. None is ever changed or deleted."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select

from app.billing import holding, periods
from app.billing.period_tables import CreditRow
from app.extensions import transaction
from app.logging import audit
from app.units import money_text, new_id
from app.workspace import names
from app.workspace.names import Invalid

MOST = Decimal(1_000_000_000)
SMALLEST = Decimal("0.000000000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """One credit: US dollars that a month costs less; more, when the amount is negative."""

    credit_id: UUID
    month: date
    amount: Decimal
    reason: str
    created_at: datetime


def grant(  # noqa: PLR0913 - a credit is all of this
    workspace_id: UUID,
    month: date,
    amount: Decimal,
    reason: str,
    *,
    now: datetime,
    by: UUID | None = None,
    credit_id: UUID | None = None,
) -> UUID:
    """Credit an amount to a month that is not closed; raise `Invalid`. One that has the id stays."""
    names.check("reason", reason)
    if not amount or abs(amount) > MOST or amount != amount.quantize(SMALLEST):
        raise Invalid("amount", f"must not be 0, nor more than {MOST:,} dollars, with at most 12 decimals")
    credit_id = credit_id or new_id()
    with transaction(workspace_id) as session:
        holding.hold(session, workspace_id)
        if session.get(CreditRow, (workspace_id, credit_id)):
            return credit_id
        period = periods.read(session, workspace_id, month)
        if period.state == periods.CLOSED or month > periods.running_month(session, workspace_id, now):
            raise Invalid("month", f"{period.name} is closed" if period.closed_at else f"{period.name} has not begun")
        row = CreditRow(workspace_id=workspace_id, credit_id=credit_id, month=month, amount=amount, reason=reason)
        row.created_by = by
        session.add(row)
        session.flush()
        told = {"month": period.name, "amount": money_text(amount), "reason": reason}
        audit.record("credit.create", kind="credit", id=credit_id, name=reason, after=told)
    return credit_id


def of_month(workspace_id: UUID, month: date) -> list[Credit]:
    """List a month's credits, the oldest first."""
    with transaction(workspace_id) as session:
        mine = (CreditRow.workspace_id == workspace_id, CreditRow.month == month)
        rows = session.scalars(select(CreditRow).where(*mine).order_by(CreditRow.created_at, CreditRow.credit_id))
        return [
            Credit(
                credit_id=row.credit_id,
                month=row.month,
                amount=row.amount,
                reason=row.reason,
                created_at=row.created_at,
            )
            for row in rows
        ]
