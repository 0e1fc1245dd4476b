"""The manifest that lies beside an export's file: what is in it, so that whoever has it can check it."""

from datetime import UTC, datetime
from decimal import Decimal

from app.billing import exports
from app.billing.export_files import Written
from app.billing.export_rows import Asked


def of(asked: Asked, name: str, written: Written, sums: dict[str, Decimal]) -> dict[str, object]:
    """Say what is in a file, so that whoever has it can check it. Money is text: exact."""
    what = asked.what
    return {
        "file": name,
        "kind": what.kind,
        "format": what.format,
        "gzip": what.gzip,
        "workspace_id": str(asked.workspace_id),
        "from": what.first.isoformat(),
        "to": what.last.isoformat(),
        "timezone": asked.zone.key,
        "as_of": _utc(asked.as_of),
        "rows": written.rows,
        "bytes": written.size_bytes,
        "sha256": written.sha256.hex(),
        "sums": {name: exports.plain(Decimal(amount)) for name, amount in sums.items()},
    }


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
