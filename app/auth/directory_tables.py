"""Rows of identity providers and of what they say: identities, roles by mapping, and what SCIM provisions.

All but the mappings are global by design, like the accounts they belong to.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.units import PLATFORM_ID, new_id
from app.workspace.members import ROLES

NOW = text("now()")


class IdentityProviderRow(Base):
    """Where people sign in: a Microsoft Entra ID app registration, or any OpenID Connect issuer.

    `tenant` is Entra's own (a tenant id), or 'organizations' for several, which `allowed_tenants` lists.
    """

    __tablename__ = "identity_provider"

    provider_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    authority: Mapped[str]
    tenant: Mapped[str | None]
    allowed_tenants: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    client_id: Mapped[str]
    sealed_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    secret_expires_on: Mapped[date | None]
    graph_url: Mapped[str] = mapped_column(server_default="https://graph.microsoft.com")
    token_audience: Mapped[str | None]
    guests: Mapped[bool] = mapped_column(server_default=text("false"))
    accounts: Mapped[str] = mapped_column(server_default="mapped")
    default_workspace_id: Mapped[UUID | None]
    default_role: Mapped[str | None]
    tested_by: Mapped[UUID | None]
    tested_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    disabled_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["default_workspace_id"], ["workspace.workspace_id"]),
        ForeignKeyConstraint(["tested_by"], ["user_account.user_id"]),
        CheckConstraint("kind in ('entra', 'oidc')", name="kind"),
        CheckConstraint("accounts in ('off', 'default', 'mapped')", name="accounts"),
        CheckConstraint(f"default_role in {ROLES}", name="default_role"),
        CheckConstraint("(kind = 'entra') = (tenant is not null)", name="tenant"),
        CheckConstraint(
            "(accounts = 'default') = (default_role is not null)"
            " and (default_role is null) = (default_workspace_id is null)",
            name="default",
        ),
    )


class SignInPolicyRow(Base):
    """The one row that says whether everybody but the break-glass admin must come by an identity provider."""

    __tablename__ = "sign_in_policy"

    single: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    require_sso: Mapped[bool] = mapped_column(server_default=text("false"))
    changed_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (CheckConstraint("single", name="single"),)


class IdentityRow(Base):
    """Who somebody is elsewhere: tenant and object id of Entra, issuer and subject of others. E-mail links nothing.

    `app_roles` and `groups` are what the last sign-in said.
    """

    __tablename__ = "identity"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    provider_id: Mapped[UUID]
    user_id: Mapped[UUID]
    email: Mapped[str | None]
    name: Mapped[str | None]
    app_roles: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    groups: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_sign_in_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["provider_id"], ["identity_provider.provider_id"]),
        ForeignKeyConstraint(["user_id"], ["user_account.user_id"]),
        Index("ix_identity_user_id", "user_id"),
    )


class RoleMappingRow(Base):
    """A role that everybody with an app role, or in a group, has in a workspace; in the platform's, of the platform."""

    __tablename__ = "role_mapping"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    mapping_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    provider_id: Mapped[UUID]
    kind: Mapped[str]
    value: Mapped[str]
    label: Mapped[str | None]
    role: Mapped[str]
    created_by: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        ForeignKeyConstraint(["provider_id"], ["identity_provider.provider_id"]),
        ForeignKeyConstraint(["created_by"], ["user_account.user_id"]),
        UniqueConstraint("workspace_id", "provider_id", "kind", "value", name="uq_role_mapping_workspace_id"),
        CheckConstraint("kind in ('app_role', 'group')", name="kind"),
        CheckConstraint(
            f"case when workspace_id = '{PLATFORM_ID}' then role in ('admin', 'auditor') else role in {ROLES} end",
            name="role",
        ),
        Index("ix_role_mapping_provider_id", "provider_id"),
    )


class ScimTokenRow(Base):
    """What an identity provider's provisioning shows to be let in. Only its hash is here."""

    __tablename__ = "scim_token"

    token_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    provider_id: Mapped[UUID]
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    last4: Mapped[str]
    created_by: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["provider_id"], ["identity_provider.provider_id"]),
        ForeignKeyConstraint(["created_by"], ["user_account.user_id"]),
    )


class ScimUserRow(Base):
    """An account as provisioning names it. `attributes` are those that it sent, as it sent them.

    `deactivated_at` equals the account's `disabled_at` when it was provisioning that disabled it. A row with
    `deleted_at` is what is left of somebody whom provisioning has deleted: it is shown to nobody.
    """

    __tablename__ = "scim_user"

    provider_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    external_id: Mapped[str | None]
    user_name: Mapped[str]
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    deactivated_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["provider_id"], ["identity_provider.provider_id"]),
        ForeignKeyConstraint(["user_id"], ["user_account.user_id"]),
        Index(
            "ix_scim_user_provider_id_user_name",
            "provider_id",
            text("lower(user_name)"),
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
        Index(
            "ix_scim_user_provider_id_external_id",
            "provider_id",
            "external_id",
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
        Index("ix_scim_user_user_id", "user_id"),
    )


class ScimGroupRow(Base):
    """A group as provisioning names it; `external_id` is Entra's object id, which mappings name too."""

    __tablename__ = "scim_group"

    group_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    provider_id: Mapped[UUID]
    external_id: Mapped[str | None]
    display_name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (
        ForeignKeyConstraint(["provider_id"], ["identity_provider.provider_id"]),
        Index("ix_scim_group_provider_id_display_name", "provider_id", text("lower(display_name)"), unique=True),
        Index("ix_scim_group_provider_id_external_id", "provider_id", "external_id"),
    )


class ScimGroupMemberRow(Base):
    __tablename__ = "scim_group_member"

    group_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)

    __table_args__ = (
        ForeignKeyConstraint(["group_id"], ["scim_group.group_id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["user_id"], ["user_account.user_id"]),
        Index("ix_scim_group_member_user_id", "user_id"),
    )
