"""The lines of a statement: drawn up from what a period's calls come to, its corrections and its credits; exact.

No line is rounded for itself: the last one takes the sum to whole cents.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.billing import labels
from app.billing.labels import UNKNOWN, Labels
from app.billing.period_tables import CorrectionRow, CreditRow
from app.billing.periods import Period, name_of
from app.billing.rollups import NO_APPLICATION

CENT = Decimal("0.01")
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
"""Wide enough for every sum that the columns hold: the usual 28 digits are not."""
USAGE, CORRECTION, CREDIT, ROUNDING = KINDS = ("usage", "correction", "credit", "rounding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line. `description` is what things were called when it was written."""

    kind: str
    description: str
    amount: Decimal
    application_id: UUID | None = None
    model_id: UUID | None = None
    calls: int = 0
    tokens: int = 0


def draw_up(session: Session, period: Period, usage: Sequence[Any]) -> list[Line]:
    """Make the lines of a period from what its calls come to (see `period_usage`), the rounding line last."""
    corrected = _corrected(session, period)
    names = _names(session, period, [*usage, *corrected])
    found = [
        *sorted((_usage_line(row, names) for row in usage), key=_order),
        *sorted((_correction_line(row, names) for row in corrected), key=_order),
        *_credits(session, period),
    ]
    return [*found, _rounding(found)]


def total(lines: Iterable[Line]) -> Decimal:
    """Add up lines, exactly."""
    found = Decimal(0)
    for line in lines:
        found = EXACT.add(found, line.amount)
    return found


def digest(lines: Iterable[Line]) -> bytes:
    """Fingerprint lines: SHA-256 over one JSON array a line, money with all twelve decimals."""
    told = hashlib.sha256()
    for line in lines:
        told.update(msgspec.json.encode(_canonical(line)) + b"\n")
    return told.digest()


def _canonical(line: Line) -> list[str | int | None]:
    ids = [str(one) if one else None for one in (line.application_id, line.model_id)]
    return [line.kind, *ids, line.description, line.calls, line.tokens, f"{line.amount:.12f}"]


def _usage_line(row: Any, names: Labels) -> Line:
    unpriced = f" ({row.unpriced} of {row.calls} calls unpriced)" if row.unpriced else ""
    return Line(
        kind=USAGE,
        description=_things(row, names) + unpriced,
        amount=row.amount,
        application_id=row.application_id,
        model_id=row.model_id,
        calls=int(row.calls),
        tokens=int(row.tokens),
    )


def _correction_line(row: Any, names: Labels) -> Line:
    return Line(
        kind=CORRECTION,
        description=f"Correction of {name_of(row.closed_month)}: {_things(row, names)}",
        amount=row.amount,
        application_id=row.application_id,
        model_id=row.model_id,
        calls=int(row.calls),
    )


def _things(row: Any, names: Labels) -> str:
    application = names["application"].get(row.application_id or NO_APPLICATION, UNKNOWN)
    model = names["model"].get(row.model_id, UNKNOWN)
    return f"{application.name} · {model.name}"


def _order(line: Line) -> tuple[str, str, str]:
    return line.description, str(line.application_id), str(line.model_id)


def _names(session: Session, period: Period, rows: Sequence[Any]) -> Labels:
    asked = {name: {getattr(row, f"{name}_id") for row in rows} - {None} for name in ("application", "model")}
    return labels.of(session, period.workspace_id, asked, before=period.end)


def _corrected(session: Session, period: Period) -> list[Any]:
    """Add up the corrections that go into a period by what they correct; what has come to nothing is left out."""
    row = CorrectionRow
    by = (row.closed_month, row.application_id, row.model_id)
    calls, amount = func.sum(row.calls), func.sum(row.amount)
    return list(
        session.execute(
            select(*by, calls.label("calls"), amount.label("amount"))
            .where(row.workspace_id == period.workspace_id, row.into_month == period.month)
            .group_by(*by)
            .having((amount != 0) | (calls != 0))
        )
    )


def _credits(session: Session, period: Period) -> list[Line]:
    row = CreditRow
    mine = (row.workspace_id == period.workspace_id, row.month == period.month)
    given = session.scalars(select(row).where(*mine).order_by(row.created_at, row.credit_id))
    return [Line(kind=CREDIT, description=f"Credit: {one.reason}", amount=-one.amount) for one in given]


def _rounding(lines: Sequence[Line]) -> Line:
    exact = total(lines)
    difference = EXACT.subtract(exact.quantize(CENT, context=EXACT), exact)
    return Line(kind=ROUNDING, description="Rounding to whole cents", amount=difference)
