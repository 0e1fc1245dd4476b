"""Rows of the upstream accounts and their sealed secrets."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.units import new_id


class ProviderRow(Base):
    """An upstream account. `timeouts` may hold connect_s, first_byte_s, idle_s and total_s."""

    __tablename__ = "provider"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    provider_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    kind: Mapped[str]
    base_url: Mapped[str]
    timeouts: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    managed_by: Mapped[str] = mapped_column(server_default="console")
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        UniqueConstraint("workspace_id", "name"),
        CheckConstraint("managed_by in ('console', 'file')", name="managed_by"),
    )


class CredentialRow(Base):
    """A provider's secret, sealed with the provider's id as context."""

    __tablename__ = "credential"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    credential_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    provider_id: Mapped[UUID]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    last4: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "provider_id"], ["provider.workspace_id", "provider.provider_id"]),
    )
