"""Rows of the client applications and their API keys."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.units import new_id


class ApplicationRow(Base):
    __tablename__ = "application"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    application_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    cost_centre: Mapped[str | None]
    tags: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    managed_by: Mapped[str] = mapped_column(server_default="console")
    archived_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        UniqueConstraint("workspace_id", "name"),
        CheckConstraint("managed_by in ('console', 'file')", name="managed_by"),
    )


class KeyRow(Base):
    """An API key without its secret. A null limit is none, 0 is nothing; `{*}` is every model.

    A key of kind 'workload' has no secret of ours: a token of an identity provider stands for it, which
    names an app role or a client. `suspended_at`: its owner's account is deactivated.
    """

    __tablename__ = "api_key"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    key_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    application_id: Mapped[UUID | None]
    kind: Mapped[str] = mapped_column(server_default="proxy")
    name: Mapped[str]
    prefix: Mapped[str]
    last4: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="active")
    models: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    limit_requests_per_min: Mapped[int | None]
    limit_tokens_per_min: Mapped[int | None]
    limit_parallel: Mapped[int | None]
    budget_usd: Mapped[Decimal | None]
    budget_period: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    managed_by: Mapped[str] = mapped_column(server_default="console")
    revision: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    revoked_at: Mapped[datetime | None]
    owner_id: Mapped[UUID | None]
    suspended_at: Mapped[datetime | None]
    token_provider_id: Mapped[UUID | None]
    token_tenant: Mapped[str | None]
    token_claim: Mapped[str | None]
    token_value: Mapped[str | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "application_id"], ["application.workspace_id", "application.application_id"]
        ),
        UniqueConstraint("workspace_id", "application_id", "name"),
        ForeignKeyConstraint(["owner_id"], ["user_account.user_id"]),
        ForeignKeyConstraint(["token_provider_id"], ["identity_provider.provider_id"]),
        CheckConstraint("kind in ('proxy', 'management', 'workload')", name="kind"),
        CheckConstraint("token_claim in ('app_role', 'client')", name="token_claim"),
        CheckConstraint(
            "(kind = 'workload') = (num_nonnulls(token_provider_id, token_tenant, token_claim, token_value) = 4)"
            " and (kind = 'workload' or num_nonnulls(token_provider_id, token_tenant, token_claim, token_value) = 0)",
            name="token",
        ),
        Index(
            "ix_api_key_token",
            "token_provider_id",
            "token_tenant",
            "token_claim",
            "token_value",
            unique=True,
            postgresql_where=text("kind = 'workload' and state = 'active'"),
        ),
        Index("ix_api_key_owner_id", "owner_id", postgresql_where=text("owner_id is not null")),
        CheckConstraint("kind = 'management' or application_id is not null", name="application"),
        CheckConstraint("state in ('active', 'revoked')", name="state"),
        CheckConstraint("budget_period in ('hour', 'day', 'week', 'month', 'total')", name="budget_period"),
        CheckConstraint("managed_by in ('console', 'file')", name="managed_by"),
        Index("ix_api_key_revision", "revision"),
    )


class KeyIndexRow(Base):
    """A secret's hash → its key. Global by design, so a secret can belong to one key only.

    A rotated key has two rows for as long as the old secret overlaps.
    """

    __tablename__ = "key_index"

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    pepper_version: Mapped[int]
    workspace_id: Mapped[UUID]
    key_id: Mapped[UUID]
    valid_until: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "key_id"], ["api_key.workspace_id", "api_key.key_id"]),
        Index("ix_key_index_workspace_id", "workspace_id", "key_id"),
    )
