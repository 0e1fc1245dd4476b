"""Rows of the people who sign in, of their sessions and of the attempts to begin one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Computed, ForeignKeyConstraint, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from app.auth import directory_tables  # noqa: F401  # sessions refer to its rows
from app.extensions import Base
from app.units import new_id


class UserRow(Base):
    """A person. Global by design: one person may belong to several workspaces.

    `platform_role` is the higher of the one given by hand and the one that a mapping gives.
    """

    __tablename__ = "user_account"

    user_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    granted_platform_role: Mapped[str | None]
    mapped_platform_role: Mapped[str | None]
    platform_role: Mapped[str | None] = mapped_column(
        Computed(
            "case when 'admin'::text = granted_platform_role or 'admin'::text = mapped_platform_role then 'admin'::text"
            " else coalesce(granted_platform_role, mapped_platform_role) end"
        )
    )
    password_hash: Mapped[str | None]
    totp_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_confirmed_at: Mapped[datetime | None]
    totp_last_step: Mapped[int | None] = mapped_column(BigInteger)
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        CheckConstraint("granted_platform_role in ('admin', 'auditor')", name="platform_role"),
        CheckConstraint("mapped_platform_role in ('admin', 'auditor')", name="mapped_platform_role"),
        CheckConstraint("email = lower(email)", name="email"),
    )


class SessionRow(Base):
    """Someone signed in with a browser. The cookie's value is not here, only its hash.

    `sid` is the identity provider's name for the session, by which it may end it.
    """

    __tablename__ = "console_session"

    id_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID]
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ip: Mapped[str]
    user_agent: Mapped[str]
    method: Mapped[str] = mapped_column(server_default="password")
    provider_id: Mapped[UUID | None]
    sid: Mapped[str | None]

    __table_args__ = (
        ForeignKeyConstraint(["user_id"], ["user_account.user_id"]),
        ForeignKeyConstraint(["provider_id"], ["identity_provider.provider_id"]),
        CheckConstraint("method in ('password', 'sso')", name="method"),
        Index("ix_console_session_provider_id_sid", "provider_id", "sid"),
        Index("ix_console_session_user_id", "user_id"),
        Index("ix_console_session_expires_at", "expires_at"),
    )


class AttemptRow(Base):
    """One attempt to sign in. It counts as failed until it has succeeded."""

    __tablename__ = "sign_in_attempt"

    attempt_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    address_hash: Mapped[bytes] = mapped_column(LargeBinary)
    ip: Mapped[str]
    at: Mapped[datetime]
    succeeded: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (
        Index("ix_sign_in_attempt_address_hash_at", "address_hash", "at"),
        Index("ix_sign_in_attempt_ip_at", "ip", "at"),
        Index("ix_sign_in_attempt_at", "at"),
    )
