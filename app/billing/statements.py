"""Statements: a closed month's bill, its lines exact to twelve decimals and its total in whole cents.

The lines are usage by application and model, corrections of earlier months, credits, and one last line
that rounds, so they add up to the total.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from app.billing import statement_lines
from app.billing.period_tables import StatementLineRow, StatementRow
from app.billing.periods import Period
from app.billing.statement_lines import CENT, EXACT, Line
from app.extensions import transaction
from app.units import new_id
from app.workspace import workspaces
from app.workspace.names import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement. Lists of statements leave its lines out."""

    statement_id: UUID
    workspace_id: UUID
    month: date
    version: int
    number: str
    currency: str
    po_number: str | None
    total: Decimal
    issued_at: datetime
    voided_at: datetime | None
    lines: tuple[Line, ...] = ()

    @property
    def totals_hash(self) -> bytes:
        """The fingerprint of the lines as they are stored now."""
        return statement_lines.digest(self.lines)


def issue(session: Session, period: Period, lines: Sequence[Line], *, now: datetime) -> Statement:
    """Store a period's statement in the running transaction, with the next version of its number."""
    terms = workspaces.terms(period.workspace_id)
    mine = (StatementRow.workspace_id == period.workspace_id, StatementRow.month == period.month)
    version = (session.scalar(select(func.max(StatementRow.version)).where(*mine)) or 0) + 1
    row = StatementRow(
        workspace_id=period.workspace_id,
        statement_id=new_id(),
        month=period.month,
        version=version,
        number=number(period, version),
        currency=terms.currency,
        po_number=terms.po_number,
        total=statement_lines.total(lines).quantize(CENT, context=EXACT),
        issued_at=now,
    )
    session.add(row)
    session.flush()
    _store(session, row, lines)
    return _statement(row, lines)


def number(period: Period, version: int) -> str:
    """Name a statement: the end of the workspace's id, the month, the version. No other workspace has the like."""
    return f"{period.workspace_id.hex[-10:].upper()}-{period.month:%Y%m}-{version}"


def get(workspace_id: UUID, statement_id: UUID) -> Statement:
    """Read one statement with its lines; raise `NotFound`."""
    with transaction(workspace_id) as session:
        row = session.get(StatementRow, (workspace_id, statement_id))
        if row is None:
            raise NotFound(f"there is no statement {statement_id}")
        of_it = (StatementLineRow.workspace_id == workspace_id, StatementLineRow.statement_id == statement_id)
        stored = session.scalars(select(StatementLineRow).where(*of_it).order_by(StatementLineRow.line))
        return _statement(row, [_line(one) for one in stored])


def of_months(workspace_id: UUID, months: Sequence[date]) -> dict[date, list[Statement]]:
    """List the statements of some months without their lines, the newest version first."""
    with transaction(workspace_id) as session:
        wanted = (StatementRow.workspace_id == workspace_id, StatementRow.month.in_(months))
        rows = session.scalars(select(StatementRow).where(*wanted).order_by(StatementRow.version.desc()))
        found: dict[date, list[Statement]] = {month: [] for month in months}
        for row in rows:
            found[row.month].append(_statement(row, []))
        return found


def _store(session: Session, row: StatementRow, lines: Sequence[Line]) -> None:
    about: dict[str, Any] = {"workspace_id": row.workspace_id, "statement_id": row.statement_id}
    values: list[dict[str, Any]] = [
        about
        | {
            "line": place,
            "kind": one.kind,
            "application_id": one.application_id,
            "model_id": one.model_id,
            "description": one.description,
            "calls": one.calls,
            "tokens": one.tokens,
            "amount": one.amount,
        }
        for place, one in enumerate(lines, 1)
    ]
    session.execute(insert(StatementLineRow), values)


def _line(row: StatementLineRow) -> Line:
    return Line(
        kind=row.kind,
        description=row.description,
        amount=row.amount,
        application_id=row.application_id,
        model_id=row.model_id,
        calls=row.calls,
        tokens=row.tokens,
    )


def _statement(row: StatementRow, lines: Iterable[Line]) -> Statement:
    return Statement(
        statement_id=row.statement_id,
        workspace_id=row.workspace_id,
        month=row.month,
        version=row.version,
        number=row.number,
        currency=row.currency,
        po_number=row.po_number,
        total=row.total,
        issued_at=row.issued_at,
        voided_at=row.voided_at,
        lines=tuple(lines),
    )
