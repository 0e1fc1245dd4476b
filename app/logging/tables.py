"""Rows of the audit trail: what was done, by whom, to what.

A change writes its outbox row in its own transaction; the worker alone moves it to the trail and
numbers it there. Nothing refers to other tables by foreign key: an entry outlives what it is about.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base


class EntryColumns:
    """What an entry says. `audit_id` is a UUIDv7 and `occurred_at` the instant inside it."""

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    audit_id: Mapped[UUID] = mapped_column(primary_key=True)
    actor_kind: Mapped[str]
    actor_id: Mapped[str | None]
    actor_name: Mapped[str]
    actor_role: Mapped[str | None]
    action: Mapped[str]
    object_kind: Mapped[str]
    object_id: Mapped[str]
    object_name: Mapped[str]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    outcome: Mapped[str]
    reason: Mapped[str | None]
    ip: Mapped[str | None]
    user_agent: Mapped[str | None]
    request_id: Mapped[str | None]


def _checks() -> tuple[CheckConstraint, ...]:
    return (
        CheckConstraint("actor_kind in ('person', 'key', 'file', 'system', 'nobody')", name="actor_kind"),
        CheckConstraint("outcome in ('done', 'refused', 'failed')", name="outcome"),
    )


class OutboxRow(EntryColumns, Base):
    """An entry that the worker has not numbered yet. `position` is the order in which changes were made."""

    __tablename__ = "audit_outbox"

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))

    __table_args__ = _checks()


class EntryRow(EntryColumns, Base):
    """An entry of the trail. `seq` counts a workspace's entries without a gap. Nobody changes or deletes one."""

    __tablename__ = "audit_event"

    seq: Mapped[int] = mapped_column(BigInteger)
    written_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))

    __table_args__ = (*_checks(), {"postgresql_partition_by": "RANGE (occurred_at)"})


class CounterRow(Base):
    """The last number that a workspace's trail has given; locked by the one who gives the next."""

    __tablename__ = "audit_counter"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)
