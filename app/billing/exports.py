"""CSV of usage: the lines of an answer, and every single call of a question.

The machine's flavour rewrites no cell. The spreadsheet's begins with a byte-order mark, and puts a quote
before each text that a spreadsheet would take for a formula; numbers are left alone in both. A null is
an empty field: an unpriced call has no cost, which is not 0.
"""

import csv
import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from itertools import chain, islice
from typing import Any
from uuid import UUID

import psycopg

from app.billing import call_rows, copying, export_rows
from app.billing.dimensions import IDS
from app.billing.explorer import Answer
from app.billing.export_columns import FORMULA_STARTS
from app.billing.export_rows import BYTE_ORDER_MARK, Part
from app.billing.export_what import CSV, SHEET
from app.billing.figures import Scope
from app.billing.lines import Line
from app.billing.questions import Question
from app.errors import Unavailable
from app.extensions import settings, transaction
from app.logging import audit
from app.units import new_id
from app.wire.usage import METERS

FLAVOURS = ("spreadsheet", "machine")
SPREADSHEET, MACHINE = FLAVOURS
END = b"\r\n"
AT_ONCE = timedelta(days=1)
PLANNING = {"work_mem": "32MB", "enable_nestloop": "off"}
"""A day is sorted in memory, and joined by hashes: where PostgreSQL knows nothing of new rows yet, loops take minutes."""
MOST_AT_ONCE = 4
"""Exports of calls that one process streams at a time: each holds a connection for as long as its reader takes."""
CONNECT_LIMIT_S = 3

_running = threading.BoundedSemaphore(MOST_AT_ONCE)


def note(workspace_id: UUID, what: str, about: Mapping[str, str]) -> None:
    """Write into the audit trail that somebody takes something away."""
    with transaction(workspace_id):
        audit.record("usage.export", kind="export", id=new_id(), name=what, after=about)


def lines(answer: Answer, flavour: str) -> bytes:
    """Write an answer as it is shown: the same lines, the same numbers, every digit of the money."""
    who = _who(answer.question)
    counts = ["requests", "failed", "unpriced", "provisional", "estimated"]
    before = ["requests_before", "billed_cost_before"] if answer.question.compare else []
    header = [*who, *counts, *(f"{meter}_tokens" for meter in METERS), "billed_cost", "currency", *before]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator=END.decode())
    writer.writerow(header)
    writer.writerows(_cells(line, counts, answer.question, flavour) for line in answer.lines)
    return (BYTE_ORDER_MARK if flavour == SPREADSHEET else b"") + written.getvalue().encode()


def _who(question: Question) -> list[str]:
    """Name the columns that say what a line is about: of an id, also what it is called."""
    if not question.groups:
        return [question.group]
    named = [[group, f"{group}_state", f"{group}_detail", f"{group}_id"] for group in question.groups]
    if not question.second:
        named = [[question.group, "state", "detail", f"{question.group}_id"]]
    return [name for group, names in zip(question.groups, named, strict=True) for name in names[: _width(group)]]


def _width(group: str) -> int:
    return 4 if group in IDS else 1


def _cells(line: Line, counts: Sequence[str], question: Question, flavour: str) -> list[object]:
    found, before = line.figures, line.before
    texts = [] if line.values else [line.label.name]
    for group, value, label in zip(question.groups, line.values, line.labels, strict=bool(line.values)):
        cells = [label.name, label.state or "", label.detail or "", str(value)]
        texts += cells if group in IDS else [str(value)]
    if flavour == SPREADSHEET:
        texts = [neutral(text) for text in texts]
    numbers = [*(getattr(found, name) for name in counts), *(found.tokens[meter] for meter in METERS)]
    past = [before.requests, plain(before.cost)] if before else []
    return [*texts, *numbers, plain(found.cost), "USD", *past]


def neutral(text: str) -> str:
    """Put a quote before a text that a spreadsheet would run."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def plain(amount: Decimal | None) -> str:
    """Write an exact amount in plain digits, without zeros that say nothing; None is empty."""
    if amount is None:
        return ""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(slots=True)
class Export:
    """A running export. Whoever takes `chunks` calls `close`, also when he leaves early."""

    connection: psycopg.Connection[Any]
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    _running: bool = True

    def close(self) -> None:
        """Let the connection go, whatever it still has to send, and make room for another export."""
        self.connection.close()
        if self._running:
            self._running = False
            _running.release()


def calls(scope: Scope, flavour: str) -> Export:
    """Begin to stream every call of a scope, oldest first, from one state of the database.

    Rows leave PostgreSQL as fast as the reader takes them, so memory stays flat however many there are.
    The connection is the export's own: a slow reader holds none that a page needs. Raises `Unavailable`
    when too many run. The first rows are read here; what goes wrong later is raised in the middle of the chunks.
    """
    if not _running.acquire(blocking=False):
        raise Unavailable("Several exports are running. Try again when one has ended.", retry_after_s=30)
    try:
        connection = psycopg.connect(
            settings().database_url, connect_timeout=CONNECT_LIMIT_S, application_name="llm-gateway-export"
        )
    except BaseException:
        _running.release()
        raise
    export = Export(connection)
    try:
        enter(connection, scope.workspace_id)
        export.chunks = _begun(export, _chunks(connection, scope, flavour))
    except BaseException:
        export.close()
        raise
    return export


def _begun(export: Export, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Read the first pieces; an export that has no more than one is over, and holds nothing any longer."""
    first = list(islice(chunks, 2))
    if len(first) < 2:
        export.close()
    return chain(first, chunks)


def enter(connection: psycopg.Connection[Any], workspace_id: UUID) -> None:
    """Begin to read one workspace's rows from one state of the database, as rows leave it fastest."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    connection.execute("select set_config('app.workspace_id', %s, true)", [str(workspace_id)])
    for name, value in PLANNING.items():
        connection.execute("select set_config(%s, %s, true)", [name, value])


def _chunks(connection: psycopg.Connection[Any], scope: Scope, flavour: str) -> Iterator[bytes]:
    """Give the header with the first rows, then the rest, in pieces of some size."""
    form = SHEET if flavour == SPREADSHEET else CSV
    held = export_rows.header(call_rows.ALL, form)
    for day in _days(scope):
        part = Part(columns=call_rows.ALL, rows=call_rows.rows(day))
        for piece in copying.pieces(connection, part, form):
            yield held + piece.content
            held = b""
    if held:
        yield held


def _days(scope: Scope) -> Iterator[Scope]:
    """Cut a scope into days: each is sorted for itself, so the first rows are there at once."""
    start = scope.start
    while start < scope.end:
        end = min(start + AT_ONCE, scope.end)
        yield replace(scope, start=start, end=end)
        start = end
