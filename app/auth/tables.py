"""Rows of the people who sign in, of their sessions and of the attempts to begin one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.units import new_id


class UserRow(Base):
    """A person. Global by design: one person may belong to several workspaces."""

    __tablename__ = "user_account"

    user_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    platform_role: Mapped[str | None]
    password_hash: Mapped[str | None]
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        CheckConstraint("platform_role in ('admin', 'auditor')", name="platform_role"),
        CheckConstraint("email = lower(email)", name="email"),
    )


class SessionRow(Base):
    """Someone signed in with a browser. The cookie's value is not here, only its hash."""

    __tablename__ = "console_session"

    id_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID]
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ip: Mapped[str]
    user_agent: Mapped[str]

    __table_args__ = (
        ForeignKeyConstraint(["user_id"], ["user_account.user_id"]),
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
