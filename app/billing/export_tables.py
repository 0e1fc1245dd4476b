"""Rows of the export jobs and of the schedules that order them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.units import new_id


class ScheduleRow(Base):
    """An order that repeats itself. `what` is the order without its days: they follow from `next_at`."""

    __tablename__ = "export_schedule"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    schedule_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    what: Mapped[dict[str, Any]] = mapped_column(JSONB)
    every: Mapped[str]
    next_at: Mapped[datetime]
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    created_by: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        UniqueConstraint("workspace_id", "name"),
        CheckConstraint("every in ('day', 'week', 'month')", name="every"),
    )


class ExportRow(Base):
    """One file that was ordered. It holds what the ledger had at `as_of`; `file` is null before and after it exists."""

    __tablename__ = "export_job"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    export_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    schedule_id: Mapped[UUID | None]
    what: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(server_default="waiting")
    as_of: Mapped[datetime]
    rows_total: Mapped[int | None] = mapped_column(BigInteger)
    rows_done: Mapped[int] = mapped_column(BigInteger, server_default="0")
    size_bytes: Mapped[int | None] = mapped_column("bytes", BigInteger)
    sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    manifest: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    file: Mapped[str | None]
    downloads: Mapped[int] = mapped_column(server_default="0")
    problem: Mapped[str | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        UniqueConstraint("workspace_id", "schedule_id", "as_of"),
        CheckConstraint("state in ('waiting', 'running', 'done', 'cancelled', 'failed')", name="state"),
    )
