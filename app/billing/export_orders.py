"""Exports that people have ordered: what was asked for, how far it is, where its file is, who took it away."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.billing import export_what
from app.billing.export_tables import ExportRow
from app.billing.export_what import What
from app.extensions import transaction
from app.logging import audit
from app.workspace import pages
from app.workspace.names import Invalid, NotFound

WAITING, RUNNING, DONE, CANCELLED, FAILED = "waiting", "running", "done", "cancelled", "failed"
UNDER_WAY = (WAITING, RUNNING)
MOST_UNDER_WAY = 10
"""Exports of one workspace that wait or run: each takes its turn, and space on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One order. `file` None: there is none yet, or none any more; `rows_total` None: nobody has counted yet."""

    export_id: UUID
    workspace_id: UUID
    schedule_id: UUID | None
    what: What
    state: str
    as_of: datetime
    rows_total: int | None
    rows_done: int
    size_bytes: int | None
    sha256: bytes | None
    manifest: dict[str, Any] | None
    file: str | None
    downloads: int
    problem: str | None
    created_by: UUID | None
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None

    @property
    def is_under_way(self) -> bool:
        """Whether it waits or runs."""
        return self.state in UNDER_WAY

    @property
    def percent(self) -> int:
        """How much of it is done."""
        if not self.rows_total:
            return 100 if self.state == DONE else 0
        return min(100, self.rows_done * 100 // self.rows_total)

    @property
    def filename(self) -> str:
        """What a browser calls the file."""
        return f"{self.what.kind}-{self.what.first}-to-{self.what.last}.{self.what.suffix}"


def place(  # noqa: PLR0913 - an order is all of this
    workspace_id: UUID,
    what: What,
    *,
    export_id: UUID,
    as_of: datetime,
    by: UUID | None,
    schedule_id: UUID | None = None,
) -> bool:
    """Order an export; raise `Invalid`. False: there is one with this id, or this schedule's of this instant, already."""
    what = export_what.checked(what)
    with transaction(workspace_id) as session:
        if session.get(ExportRow, (workspace_id, export_id)) or _is_made(session, workspace_id, schedule_id, as_of):
            return False
        if by is not None and _under_way(session, workspace_id) >= MOST_UNDER_WAY:
            raise Invalid("kind", f"has to wait: {MOST_UNDER_WAY} exports are under way already")
        row = ExportRow(workspace_id=workspace_id, export_id=export_id, what=what.stored(), as_of=as_of)
        row.schedule_id, row.created_by = schedule_id, by
        session.add(row)
        session.flush()
        audit.record("export.create", kind="export", id=export_id, name=what.kind, after=what.stored())
    return True


def cancel(workspace_id: UUID, export_id: UUID) -> None:
    """Cancel an export that waits or runs; raise `NotFound` for none, `Invalid` for one that is over."""
    with transaction(workspace_id) as session:
        row = _row(session, workspace_id, export_id, lock=True)
        if row.state not in UNDER_WAY:
            raise Invalid("state", f"is {row.state} already")
        was, row.state, row.finished_at = row.state, CANCELLED, func.now()
        session.flush()
        name = row.what["kind"]
        audit.record(
            "export.cancel", kind="export", id=export_id, name=name, before={"state": was}, after={"state": CANCELLED}
        )


def took(workspace_id: UUID, export_id: UUID, **about: str) -> None:
    """Count a download and write down who it was."""
    with transaction(workspace_id) as session:
        row = _row(session, workspace_id, export_id, lock=True)
        row.downloads += 1
        session.flush()
        told = {"rows": row.rows_done, "sha256": row.sha256.hex() if row.sha256 else None} | about
        audit.record("export.download", kind="export", id=export_id, name=row.what["kind"], after=told)


def get(workspace_id: UUID, export_id: UUID) -> Export:
    """Read one export; raise `NotFound`."""
    with transaction(workspace_id) as session:
        return _value(_row(session, workspace_id, export_id))


def page(workspace_id: UUID, *, after: UUID | None = None) -> pages.Page[Export]:
    """List the exports, the newest first."""
    statement = select(ExportRow).where(ExportRow.workspace_id == workspace_id)
    if after is not None:
        statement = statement.where(ExportRow.export_id < after)
    with transaction(workspace_id) as session:
        rows = session.scalars(statement.order_by(ExportRow.export_id.desc()).limit(pages.SIZE + 1))
        return pages.cut([_value(row) for row in rows], lambda one: str(one.export_id))


def _row(session: Session, workspace_id: UUID, export_id: UUID, *, lock: bool = False) -> ExportRow:
    row = session.get(ExportRow, (workspace_id, export_id), with_for_update=lock or None)
    if row is None:
        raise NotFound(f"there is no export {export_id}")
    return row


def _is_made(session: Session, workspace_id: UUID, schedule_id: UUID | None, as_of: datetime) -> bool:
    mine = (ExportRow.workspace_id == workspace_id, ExportRow.schedule_id == schedule_id, ExportRow.as_of == as_of)
    return schedule_id is not None and session.scalars(select(ExportRow.export_id).where(*mine)).first() is not None


def _under_way(session: Session, workspace_id: UUID) -> int:
    mine = (ExportRow.workspace_id == workspace_id, ExportRow.state.in_(UNDER_WAY))
    return session.scalar(select(func.count()).select_from(ExportRow).where(*mine)) or 0


def _value(row: ExportRow) -> Export:
    names = [name for name in Export.__dataclass_fields__ if name != "what"]
    return Export(what=export_what.of(row.what), **{name: getattr(row, name) for name in names})
