"""How a month stands: its lines so far or its statement, its checklist and its statements, from one state of the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from app.billing import checklist, period_usage, periods, statement_lines, statements
from app.billing.checklist import Checklist
from app.billing.periods import CLOSED, Period
from app.billing.statement_lines import Line
from app.billing.statements import Statement
from app.extensions import snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One month. `lines` is the valid statement's when the month is closed, else what it would be now."""

    period: Period
    lines: Sequence[Line]
    checklist: Checklist | None
    issued: Sequence[Statement]

    @property
    def total(self) -> Decimal:
        """What the lines come to, in whole cents."""
        return statement_lines.total(self.lines)

    @property
    def valid(self) -> Statement | None:
        """The statement that was not voided."""
        return next((one for one in self.issued if not one.voided_at), None)


def of(workspace_id: UUID, month: date, *, now: datetime) -> View:
    """Read a month; the sums of days answer for one that is not closed, where they can."""
    with snapshot(workspace_id) as session:
        period = periods.read(session, workspace_id, month)
        issued = statements.of_months(workspace_id, [month])[month]
        if period.state == CLOSED:
            valid = next(one for one in issued if not one.voided_at)
            lines = statements.get(workspace_id, valid.statement_id).lines
            return View(period=period, lines=lines, checklist=None, issued=issued)
        found = period_usage.quick(session, period)
        lines = tuple(statement_lines.draw_up(session, period, found))
        return View(period=period, lines=lines, checklist=checklist.of(session, period, found, now=now), issued=issued)
