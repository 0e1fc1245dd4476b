"""A statement as CSV: its lines with every digit, in the machine's or the spreadsheet's flavour."""

import csv
import io

from app.billing import exports
from app.billing.export_rows import BYTE_ORDER_MARK
from app.billing.exports import SPREADSHEET
from app.billing.periods import name_of
from app.billing.statement_lines import Line
from app.billing.statements import Statement

COLUMNS = (
    "statement",
    "month",
    "line",
    "kind",
    "application_id",
    "model_id",
    "description",
    "calls",
    "tokens",
    "amount",
    "currency",
)


def of(statement: Statement, flavour: str) -> bytes:
    """Write the lines of a statement; the sum of `amount` is its total."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator=exports.END.decode())
    writer.writerow(COLUMNS)
    for place, line in enumerate(statement.lines, 1):
        writer.writerow(_cells(statement, place, line, flavour))
    return (BYTE_ORDER_MARK if flavour == SPREADSHEET else b"") + written.getvalue().encode()


def _cells(statement: Statement, place: int, line: Line, flavour: str) -> list[object]:
    description = exports.neutral(line.description) if flavour == SPREADSHEET else line.description
    return [
        statement.number,
        name_of(statement.month),
        place,
        line.kind,
        line.application_id or "",
        line.model_id or "",
        description,
        line.calls,
        line.tokens,
        exports.plain(line.amount),
        statement.currency,
    ]
