"""Rows of the workspaces (tenants), and the numbers of their changes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.units import new_id


class WorkspaceRow(Base):
    __tablename__ = "workspace"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    timezone: Mapped[str] = mapped_column(server_default="UTC")
    currency: Mapped[str] = mapped_column(server_default="USD")
    managed_by: Mapped[str] = mapped_column(server_default="console")
    archived_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (CheckConstraint("managed_by in ('console', 'file')", name="managed_by"),)


class RevisionRow(Base):
    """One row: what processes compare to learn of changes. Each change adds 1 in its own transaction."""

    __tablename__ = "revision"

    only: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    catalogue: Mapped[int]
    keys: Mapped[int]

    __table_args__ = (CheckConstraint('"only"', name="only"),)
