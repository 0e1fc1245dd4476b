"""Rows out of PostgreSQL as they stand in a file: by COPY, handed on in pieces, so memory stays flat."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg

from app.billing import export_rows
from app.billing.export_rows import Part
from app.billing.export_what import JSONL

ROWS_AT_ONCE = 500


class Piece(NamedTuple):
    """Whole rows, and how many they are."""

    content: bytes
    rows: int


def pieces(connection: psycopg.Connection[Any], part: Part, form: str) -> Iterator[Piece]:
    """Read the rows of a part, their ends as the format has them: a line feed in JSON lines, CR LF in CSV.

    PostgreSQL sends a row at a time, each ended by a line feed; nothing is done to it by itself.
    """
    end = b"\n" if form == JSONL else b"\r\n"
    held: list[bytes | bytearray | memoryview] = []
    with connection.cursor().copy(export_rows.copying(part, form)) as copy:
        for row in copy:
            held.append(row)
            if len(held) >= ROWS_AT_ONCE:
                yield _piece(held, end, part.breaks)
                held.clear()
    if held:
        yield _piece(held, end, part.breaks)


def _piece(rows: list[bytes | bytearray | memoryview], end: bytes, breaks: bool) -> Piece:
    """Join rows. Only where a cell may hold a line break, which stays, is each row's own end looked for."""
    if breaks:
        return Piece(b"".join(bytes(row[:-1]) + end for row in rows), len(rows))
    joined = b"".join(rows)
    return Piece(joined if end == b"\n" else joined.replace(b"\n", end), len(rows))
