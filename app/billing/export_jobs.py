"""The RQ job that makes an export's file, known by the export's id alone."""

import errno
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import psycopg
from psycopg.types.json import Jsonb
from rq.timeouts import BaseTimeoutException

from app.billing import (
    export_files,
    export_focus,
    export_manifest,
    export_rows,
    export_what,
    exports,
    focus_months,
    holding,
    jobs,
)
from app.billing.export_files import Counted, Written
from app.billing.export_progress import Cancelled, Progress, Stopped
from app.billing.export_rows import Asked, Part
from app.billing.export_what import AUDIT, CALLS, DAILY, FOCUS
from app.config import Settings
from app.units import utc_now, zone

JOB = "app.billing.export_jobs.run"
KEPT = timedelta(days=7)
"""How long a file is kept."""
CONNECT_LIMIT_S = 3
GENERATOR = "LLM Gateway"
KINDS = {CALLS: export_rows.calls, DAILY: export_rows.daily, AUDIT: export_rows.audit}
NOT_MADE = "The file could not be made. The log has the details."
NO_SPACE = "There was no space left on the gateway's disk. Order it again when there is."
TOO_LONG = "It took longer than an hour. Order fewer days."
CUT_OFF = "The connection to the database was lost. Order it again."
NOT_RIGHT = "The rows are not what they should add up to, so the file was deleted. The log has the details."

_BEGIN = """
    update export_job set state = 'running', rows_done = 0, rows_total = null, problem = null
    where export_id = %s and state in ('waiting', 'running')
    returning workspace_id, what, as_of, (select timezone from workspace w where w.workspace_id = export_job.workspace_id)"""
_DONE = """
    update export_job set state = 'done', rows_total = %(rows)s, rows_done = %(rows)s, bytes = %(bytes)s,
        sha256 = %(sha256)s, manifest = %(manifest)s, file = %(file)s, finished_at = %(now)s, expires_at = %(expires)s
    where export_id = %(export)s and state = 'running'"""
_ENDED = """
    update export_job set state = %s, problem = %s, finished_at = case when %s = 'waiting' then null else now() end
    where export_id = %s and state = 'running'"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """An export that is being made."""

    export_id: UUID
    asked: Asked


class Wrong(Exception):
    """The file that was made is not what it should be. It is deleted."""


def run(export_id: str) -> None:
    """RQ job: make the file of an export, with its manifest beside it. One that is over or cancelled stays as it is."""
    settings = Settings.read()
    with jobs.connect(settings.database_ingest_url) as control:
        order = _begin(control, UUID(export_id))
        if order is None:
            return
        try:
            make(control, order, settings)
        except Cancelled:
            log.info("an export was cancelled", extra={"export_id": export_id})
        except Stopped:
            control.execute(_ENDED, ["waiting", None, "waiting", order.export_id])
        except Exception as error:
            control.execute(_ENDED, ["failed", _reason(error), "failed", order.export_id])
            raise


def make(control: psycopg.Connection[Any], order: Order, settings: Settings) -> None:
    """Make the file; `control` is told how far it is, on a connection of its own. However it ends early, no file stays."""
    asked = order.asked
    path = export_files.path_of(settings.home, export_files.name_of(asked.workspace_id, order.export_id, asked.what))
    holding.wait_until_settled(control, asked.workspace_id, asked.as_of)
    try:
        with psycopg.connect(
            settings.database_url, connect_timeout=CONNECT_LIMIT_S, application_name="llm-gateway-export"
        ) as connection:
            exports.enter(connection, asked.workspace_id)
            manifest, written = _write(connection, Progress(control, order.export_id), asked, path, settings)
        _finish(control, order, path, manifest, written)
    except BaseException:
        export_files.delete(path)
        raise


def _write(
    connection: psycopg.Connection[Any], progress: Progress, asked: Asked, path: Path, settings: Settings
) -> tuple[dict[str, object], Written]:
    """Count the rows, write them, and compare; answer with the manifest."""
    parts, told, totals = _parts(connection, asked, settings)
    counted = export_files.count(connection, parts, progress.tell)
    progress.counted(counted.rows)
    written = export_files.write(connection, parts, asked.what, path, progress.tell)
    _check(written, counted, totals)
    return export_manifest.of(asked, path.name, written, counted.sums) | told, written


def _begin(control: psycopg.Connection[Any], export_id: UUID) -> Order | None:
    row = control.execute(_BEGIN, [export_id]).fetchone()
    if row is None:
        return None
    workspace_id, what, as_of, timezone = row
    asked = Asked(workspace_id=workspace_id, what=export_what.of(what), as_of=as_of, zone=zone(timezone))
    return Order(export_id, asked)


def _parts(
    connection: psycopg.Connection[Any], asked: Asked, settings: Settings
) -> tuple[Sequence[Part], dict[str, object], dict[str, Decimal]]:
    """Lay out the parts of a file; say what its manifest tells beyond rows and sums, and the totals of statements."""
    if asked.what.kind != FOCUS:
        return list(KINDS[asked.what.kind](asked)), {}, {}
    months = focus_months.of(connection, asked)
    issuer = urlsplit(settings.public_url).hostname or GENERATOR
    told: dict[str, object] = {"focus": export_focus.metadata(asked, months, GENERATOR)}
    totals = {month.number: month.total for month in months if month.number and month.total is not None}
    return list(export_focus.parts(asked, months, issuer)), told, totals


def _check(written: Written, counted: Counted, totals: dict[str, Decimal]) -> None:
    """Raise `Wrong` for a file that has not the rows that there are, or whose rows are not what was invoiced."""
    if written.rows != counted.rows:
        raise Wrong(f"{written.rows} rows were written, and there are {counted.rows}")
    for number, total in totals.items():
        if counted.invoiced.get(number, Decimal(0)) != total:
            raise Wrong(f"the rows of {number} add up to {counted.invoiced.get(number)}, and the statement to {total}")


def _finish(
    control: psycopg.Connection[Any], order: Order, path: Path, manifest: dict[str, object], written: Written
) -> None:
    """Put the manifest beside the file and offer both; raise `Cancelled` where nobody wants them any more."""
    encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    export_files.manifest_path(path).write_bytes(encoded)
    now = utc_now()
    values = {"rows": written.rows, "bytes": written.size_bytes, "sha256": written.sha256, "manifest": Jsonb(manifest)}
    values |= {"file": f"{path.parent.name}/{path.name}", "now": now, "expires": now + KEPT, "export": order.export_id}
    if not control.execute(_DONE, values).rowcount:
        raise Cancelled


def _reason(error: Exception) -> str:
    """Say to people why an export has failed."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return NO_SPACE
    for kind, told in ((BaseTimeoutException, TOO_LONG), (psycopg.OperationalError, CUT_OFF), (Wrong, NOT_RIGHT)):
        if isinstance(error, kind):
            return told
    return NOT_MADE
