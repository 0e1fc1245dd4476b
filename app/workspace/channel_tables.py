"""Rows of the channels by which a workspace is told, and of what was sent there."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.units import new_id


class ChannelRow(Base):
    """Where alerts go. Sealed is what a webhook's signatures are made with, or a Slack or Teams address itself."""

    __tablename__ = "channel"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    channel_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    kind: Mapped[str]
    target: Mapped[str]
    sealed_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    events: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        UniqueConstraint("workspace_id", "name"),
        CheckConstraint("kind in ('email', 'webhook', 'slack', 'teams')", name="kind"),
    )


class DeliveryRow(Base):
    """One message for one channel; once for each thing that it is about. `answer` is what came back last."""

    __tablename__ = "delivery"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    delivery_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    channel_id: Mapped[UUID]
    event: Mapped[str]
    about: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(server_default="waiting")
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    answer: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    sent_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "channel_id"], ["channel.workspace_id", "channel.channel_id"], ondelete="CASCADE"
        ),
        UniqueConstraint("workspace_id", "channel_id", "event", "about"),
        CheckConstraint("state in ('waiting', 'sent', 'failed')", name="state"),
        Index("ix_delivery_next_at", "next_at", postgresql_where=text("state = 'waiting'")),
    )
