"""Rows of the workspaces (tenants), of who belongs to them, and the numbers of their changes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, ForeignKeyConstraint, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import ARRAY, CIDR
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
    po_number: Mapped[str | None]
    networks: Mapped[list[str]] = mapped_column(ARRAY(CIDR), server_default=text("'{}'"))
    archived_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (CheckConstraint("managed_by in ('console', 'file')", name="managed_by"),)


ROLES = "('owner', 'admin', 'developer', 'billing', 'viewer')"


class MembershipRow(Base):
    """A person's role in a workspace: the higher of the one given by hand and the one that a mapping gives."""

    __tablename__ = "membership"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    granted_role: Mapped[str | None]
    mapped_role: Mapped[str | None]
    role: Mapped[str] = mapped_column(
        Computed(
            "case"
            " when 'owner'::text = granted_role or 'owner'::text = mapped_role then 'owner'::text"
            " when 'admin'::text = granted_role or 'admin'::text = mapped_role then 'admin'::text"
            " when 'developer'::text = granted_role or 'developer'::text = mapped_role then 'developer'::text"
            " when 'billing'::text = granted_role or 'billing'::text = mapped_role then 'billing'::text"
            " when 'viewer'::text = granted_role or 'viewer'::text = mapped_role then 'viewer'::text"
            " else null::text end"
        )
    )
    source: Mapped[str] = mapped_column(server_default="manual")
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        ForeignKeyConstraint(["user_id"], ["user_account.user_id"]),
        CheckConstraint(f"granted_role in {ROLES}", name="role"),
        CheckConstraint(f"mapped_role in {ROLES}", name="mapped_role"),
        CheckConstraint("coalesce(granted_role, mapped_role) is not null", name="some_role"),
        CheckConstraint("source in ('manual', 'invitation', 'mapping')", name="source"),
        Index("ix_membership_user_id", "user_id"),
    )


class InvitationRow(Base):
    """A place kept for an e-mail address. The link's secret is not here, only its hash."""

    __tablename__ = "invitation"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    invitation_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str]
    role: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_by: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        ForeignKeyConstraint(["created_by"], ["user_account.user_id"]),
        CheckConstraint("email = lower(email)", name="email"),
        CheckConstraint(f"role in {ROLES}", name="role"),
        Index(
            "ix_invitation_workspace_id_email",
            "workspace_id",
            "email",
            unique=True,
            postgresql_where=text("accepted_at is null"),
        ),
    )


class RevisionRow(Base):
    """One row: what processes compare to learn of changes. Each change adds 1 in its own transaction."""

    __tablename__ = "revision"

    only: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    catalogue: Mapped[int]
    keys: Mapped[int]

    __table_args__ = (CheckConstraint('"only"', name="only"),)
