"""Closing: a month goes from open to draft to closed, with a statement; the platform may open it again.

Each step is recorded in the audit trail. Ingest, recomputes and rebuilds of the workspace wait while a month
is closed, and see it closed afterwards. `closed_at` is an instant while they wait, by the database's clock: what is on
the statement was ingested before it, what comes for the month after it is corrected.
"""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.billing import checklist, corrections, holding, period_usage, periods, statement_lines, statements
from app.billing.period_tables import BillingPeriodRow, StatementRow
from app.billing.periods import CLOSED, DRAFT, OPEN, Period
from app.billing.statements import Statement
from app.extensions import transaction
from app.logging import audit
from app.units import money_text
from app.workspace import names
from app.workspace.names import Invalid


def draft(workspace_id: UUID, month: date, *, now: datetime) -> Period:
    """Take a month that has ended out of *open*: its zone and its ends stay from now on. Raise `Invalid`."""
    with transaction(workspace_id) as session:
        holding.hold(session, workspace_id)
        period = periods.read(session, workspace_id, month)
        if period.state != OPEN:
            raise Invalid("month", f"{period.name} is {period.state} already")
        if now < period.end:
            raise Invalid("month", f"{period.name} has not ended yet")
        checklist.check_kept(session, period)
        row = _row(session, period)
        row.state = DRAFT
        session.flush()
        _note("period.draft", period, after={"state": DRAFT, "timezone": row.timezone})
        return Period.of(row)


def withdraw(workspace_id: UUID, month: date) -> None:
    """Put a draft back to *open*. One that never had a statement follows the workspace's zone again. Raise `Invalid`."""
    with transaction(workspace_id) as session:
        holding.hold(session, workspace_id)
        period = _in_state(session, workspace_id, month, DRAFT)
        row = _row(session, period)
        if _statements(session, period):
            row.state = OPEN
        else:
            session.delete(row)
        session.flush()
        _note("period.withdraw", period, before={"state": DRAFT}, after={"state": OPEN})


def close(
    workspace_id: UUID, month: date, *, now: datetime, by: UUID | None = None, unpriced_confirmed: bool = False
) -> Statement:
    """Close a draft and issue its statement. Raise `Invalid`: unpriced calls, which bill nothing, need to be confirmed."""
    with transaction(workspace_id) as session:
        closed_at = holding.hold(session, workspace_id)
        period = _in_state(session, workspace_id, month, DRAFT)
        checklist.check_kept(session, period)
        found = period_usage.exact(session, period)
        checklist.check(session, period, found, unpriced_confirmed=unpriced_confirmed)
        issued = statements.issue(session, period, statement_lines.draw_up(session, period, found), now=now)
        row = _row(session, period)
        row.state, row.closed_at, row.closed_by, row.totals_hash = CLOSED, closed_at, by, issued.totals_hash
        session.flush()
        told = {"state": CLOSED, "statement": issued.number, "total": money_text(issued.total)}
        told["totals_hash"] = issued.totals_hash.hex()
        _note("period.close", period, before={"state": DRAFT}, after=told)
        return issued


def reopen(workspace_id: UUID, month: date, reason: str, *, now: datetime) -> None:
    """Open a closed month again: void its statement, and take back what late calls have corrected. Raise `Invalid`.

    Its next statement has the next version. Zone and ends stay, since its neighbours may be closed.
    """
    names.check("reason", reason)
    with transaction(workspace_id) as session:
        holding.hold(session, workspace_id)
        period = _in_state(session, workspace_id, month, CLOSED)
        checklist.check_kept(session, period)
        mine = (StatementRow.workspace_id == workspace_id, StatementRow.month == month)
        valid = session.scalars(select(StatementRow).where(*mine, StatementRow.voided_at.is_(None))).one()
        valid.voided_at = now
        corrections.undo(session, period, periods.running_month(session, workspace_id, now))
        row = _row(session, period)
        row.state, row.closed_at, row.closed_by, row.totals_hash = OPEN, None, None, None
        session.flush()
        before = {"state": CLOSED, "statement": valid.number, "total": money_text(valid.total)}
        _note("period.reopen", period, before=before, after={"state": OPEN}, reason=reason)


def _in_state(session: Session, workspace_id: UUID, month: date, state: str) -> Period:
    period = periods.read(session, workspace_id, month)
    if period.state != state:
        raise Invalid("month", f"{period.name} is {period.state}, not {state}")
    return period


def _row(session: Session, period: Period) -> BillingPeriodRow:
    """Find a period's row, or make it with the ends that the period has now."""
    row = session.get(BillingPeriodRow, (period.workspace_id, period.month))
    if row is None:
        row = BillingPeriodRow(
            workspace_id=period.workspace_id,
            month=period.month,
            timezone=period.timezone,
            starts_at=period.start,
            ends_at=period.end,
        )
        session.add(row)
    return row


def _statements(session: Session, period: Period) -> int:
    mine = (StatementRow.workspace_id == period.workspace_id, StatementRow.month == period.month)
    return session.scalar(select(func.count()).select_from(StatementRow).where(*mine)) or 0


def _note(
    action: str,
    period: Period,
    *,
    after: dict[str, str],
    before: dict[str, str] | None = None,
    reason: str | None = None,
) -> None:
    audit.record(action, kind="period", id=period.name, name=period.name, before=before, after=after, reason=reason)
