"""Rows of the people who sign in."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, text
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

    __table_args__ = (CheckConstraint("platform_role in ('admin', 'auditor')", name="platform_role"),)
