"""Exports under test: ordered as the page does, made as the worker does, read as whoever gets the file."""

import csv
import gzip
import io
import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from app.billing import export_jobs, export_orders
from app.billing.export_what import CALLS, What
from app.units import new_id, utc_now
from tests.billing.books import NOON, Books

DAY = NOON.date()


@dataclass
class Desk:
    """Where exports are ordered and fetched."""

    books: Books
    home: Path

    def order(self, workspace_id: UUID, what: What, *, as_of: datetime | None = None) -> UUID:
        export_id = new_id()
        assert export_orders.place(workspace_id, what, export_id=export_id, as_of=as_of or utc_now(), by=new_id())
        return export_id

    def make(self, workspace_id: UUID, what: What, *, as_of: datetime | None = None) -> export_orders.Export:
        """Order an export and have it made."""
        export_id = self.order(workspace_id, what, as_of=as_of)
        export_jobs.run(str(export_id))
        return export_orders.get(workspace_id, export_id)

    def bytes(self, export: export_orders.Export) -> bytes:
        """The file as it lies on the disk."""
        assert export.file, export.problem
        return (self.home / "exports" / export.file).read_bytes()

    def rows(self, export: export_orders.Export) -> list[dict[str, Any]]:
        """The file's rows, unpacked; of JSON, money is Decimal's text."""
        raw = self.bytes(export)
        text = (gzip.decompress(raw) if export.what.gzip else raw).decode("utf-8-sig")
        if export.what.format == "jsonl":
            return [json.loads(line, parse_float=str) for line in text.splitlines()]
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def what(kind: str = CALLS, *, first: date = DAY, last: date = DAY, **more: Any) -> What:
    """An order of one day."""
    return What(kind=kind, first=first, last=last, **more)
