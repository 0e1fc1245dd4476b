"""Writes an export's file: rows straight from PostgreSQL, packed or not, with its size and checksum known at the end.

Memory stays flat: nothing is held but the rows on their way. The file has another name until it is whole.
"""

import gzip
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import UUID

import psycopg

from app.billing import copying, export_rows
from app.billing.export_rows import Part
from app.billing.export_what import What

PACKING = 4
"""How hard gzip tries: beyond it, files are hardly smaller and take twice as long."""

EXACT, ZERO = Context(prec=80), Decimal(0)

Tell = Callable[[int], None]
"""Called with the number of rows so far, after each piece; what it raises ends the export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What parts come to: rows, the sums of columns, and what is billed by each statement's number."""

    rows: int
    sums: dict[str, Decimal]
    invoiced: dict[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A whole file."""

    rows: int
    size_bytes: int
    sha256: bytes


class _Tally:
    """A file that counts and digests what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.size, self.sha256 = file, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self.sha256.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def path_of(home: Path, file: str) -> Path:
    """Find where a file is."""
    return home.absolute() / "exports" / file


def name_of(workspace_id: UUID, export_id: UUID, what: What) -> str:
    """Name a file below the folder of exports."""
    return f"{workspace_id}/{export_id}.{what.suffix}"


def manifest_path(file: Path) -> Path:
    """Find where the manifest of a file is: beside it."""
    return file.with_name(f"{file.name}.manifest.json")


def delete(file: Path) -> None:
    """Delete a file with its manifest, and what there is of one that was never finished."""
    for one in (file, manifest_path(file), _unfinished(file)):
        one.unlink(missing_ok=True)


def count(connection: psycopg.Connection[Any], parts: Sequence[Part], tell: Tell) -> Counted:
    """Count the rows that parts have, and add their columns up; exactly, whatever is in them."""
    rows, sums, invoiced = 0, dict[str, Decimal](), dict[str, Decimal]()
    for part in parts:
        tell(0)
        found = connection.execute(export_rows.counting(part)).fetchone() or (0,)
        rows += found[0]
        names = [one.name for one in part.columns if one.sum]
        for name, amount in zip(names, found[1:], strict=True):
            sums[name] = EXACT.add(sums.get(name, ZERO), amount)
        if part.invoice:
            invoiced[part.invoice] = EXACT.add(invoiced.get(part.invoice, ZERO), found[1 + names.index("BilledCost")])
    return Counted(rows=rows, sums=sums, invoiced=invoiced)


def write(connection: psycopg.Connection[Any], parts: Sequence[Part], what: What, to: Path, tell: Tell) -> Written:
    """Write parts into a file and put it in its place. The connection sees one state of the database all along."""
    to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = _unfinished(to)
    try:
        with unfinished.open("wb") as file:
            tally = _Tally(file)
            rows = _pack(connection, parts, what, tally, tell)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(to)
    finally:
        unfinished.unlink(missing_ok=True)
    return Written(rows=rows, size_bytes=tally.size, sha256=tally.sha256.digest())


def _unfinished(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _pack(connection: psycopg.Connection[Any], parts: Sequence[Part], what: What, tally: _Tally, tell: Tell) -> int:
    if not what.gzip:
        return _fill(connection, parts, what, tally, tell)
    # Neither name nor time is kept inside, so that the same rows are the same bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=PACKING, fileobj=cast(BinaryIO, tally), mtime=0) as packed:
        return _fill(connection, parts, what, cast(_Tally, packed), tell)


def _fill(connection: psycopg.Connection[Any], parts: Sequence[Part], what: What, to: _Tally, tell: Tell) -> int:
    rows = 0
    if parts:
        to.write(export_rows.header(parts[0].columns, what.format))
    for part in parts:
        for piece in copying.pieces(connection, part, what.format):
            to.write(piece.content)
            rows += piece.rows
            tell(rows)
    return rows
