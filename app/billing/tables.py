"""Rows of the usage ledger and of the read models made from it.

Quantities are the truth, money is derived. Nothing here refers to other tables by foreign key:
a bill outlives what it bills. Ledger tables are partitioned by month on `occurred_at`, which is
the instant inside the event id.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Integer, Numeric, Table, Text, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.wire.usage import METERS

Tokens = BigInteger


class UsageEventRow(Base):
    """One call: what it used and how it ended."""

    __tablename__ = "usage_event"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    application_id: Mapped[UUID | None]
    key_id: Mapped[UUID]
    model_id: Mapped[UUID]
    alias: Mapped[str]
    deployment_id: Mapped[UUID]
    provider: Mapped[str]
    upstream_model: Mapped[str]
    state: Mapped[str]
    outcome: Mapped[str]
    error_code: Mapped[str | None]
    http_status: Mapped[int]
    streamed: Mapped[bool]
    attempts: Mapped[int]
    usage_source: Mapped[str]
    billable: Mapped[bool]
    billable_reason: Mapped[str | None]
    input: Mapped[int] = mapped_column(Tokens, server_default="0")
    cache_read: Mapped[int] = mapped_column(Tokens, server_default="0")
    cache_write_5m: Mapped[int] = mapped_column(Tokens, server_default="0")
    cache_write_1h: Mapped[int] = mapped_column(Tokens, server_default="0")
    output: Mapped[int] = mapped_column(Tokens, server_default="0")
    reasoning: Mapped[int] = mapped_column(Tokens, server_default="0")
    input_audio: Mapped[int] = mapped_column(Tokens, server_default="0")
    output_audio: Mapped[int] = mapped_column(Tokens, server_default="0")
    other_meters: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    reported: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    latency_ms: Mapped[int | None]
    first_byte_ms: Mapped[int | None]
    client_request_id: Mapped[str | None]
    service_tier: Mapped[str | None]
    ingested_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))

    __table_args__ = (
        CheckConstraint("state in ('provisional', 'settled')", name="state"),
        CheckConstraint("usage_source in ('reported', 'estimated', 'none')", name="usage_source"),
        *(CheckConstraint(f"{meter} >= 0", name=meter) for meter in METERS),
        Index("ix_usage_event_key_id", "workspace_id", "key_id", "occurred_at"),
        Index(
            "ix_usage_event_failed",
            "workspace_id",
            "occurred_at",
            postgresql_where=text("outcome not in ('done', 'unsettled')"),
        ),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )


class ChargeRow(Base):
    """What one call costs. A null `billed_cost` is *unpriced*, which is not 0.

    `run_id` is the rating run that wrote it last; null: it is as ingest rated it. No workspace sees `provider_cost`.
    A closed month's charge stays when it is recomputed: `corrected_cost` is what corrections have made of it, null for
    nothing.
    """

    __tablename__ = "charge"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    price_ids: Mapped[list[UUID]] = mapped_column(ARRAY(postgresql.UUID(as_uuid=True)))
    list_cost: Mapped[Decimal | None]
    billed_cost: Mapped[Decimal | None]
    provider_cost: Mapped[Decimal | None]
    adjustment_id: Mapped[UUID | None]
    run_id: Mapped[UUID | None]
    corrected_cost: Mapped[Decimal | None]
    currency: Mapped[str] = mapped_column(server_default="USD")
    rated_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = ({"postgresql_partition_by": "RANGE (occurred_at)"},)


class IngestCursorRow(Base):
    """How far a bucket's stream has been read; it moves in the transaction that wrote the rows."""

    __tablename__ = "ingest_cursor"

    bucket: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_id: Mapped[str]
    replid: Mapped[str]
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class IngestRejectRow(Base):
    """A stream entry that is no usage event. Kept for repair; the ledger goes on without it."""

    __tablename__ = "ingest_reject"

    bucket: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    entry_id: Mapped[str] = mapped_column(primary_key=True)
    payload: Mapped[bytes]
    reason: Mapped[str]
    rejected_at: Mapped[datetime] = mapped_column(server_default=text("now()"), index=True)


class RetentionMarkRow(Base):
    """The last month of the ledger whose rows of a class are gone."""

    __tablename__ = "retention_mark"

    class_: Mapped[str] = mapped_column("class", primary_key=True)
    month: Mapped[date]


class RollupZoneRow(Base):
    """By whose hours a workspace's rollups are built; not its own zone's while a rebuild is due.

    `layout` counts the changes of what rollups there are: those of an older one are rebuilt.
    """

    __tablename__ = "rollup_zone"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    timezone: Mapped[str]
    layout: Mapped[int] = mapped_column(server_default="1")


COUNTS = ("requests", "failed", "provisional", "estimated", "unpriced")
"""How many events of the hour; each but `requests` counts those of one kind."""


def _rollup(
    name: str,
    *dimensions: str,
    period: str = "hour_start",
    texts: tuple[str, ...] = (),
    more: tuple[Index, ...] = (),
) -> Table:
    """Make one read model: sums of a workspace-local hour or day by some dimensions, ids first."""
    return Table(
        name,
        Base.metadata,
        Column("workspace_id", postgresql.UUID(as_uuid=True), primary_key=True),
        Column(period, DateTime(timezone=True), primary_key=True),
        *(Column(dimension, postgresql.UUID(as_uuid=True), primary_key=True) for dimension in dimensions),
        *(Column(dimension, Text, primary_key=True) for dimension in texts),
        *(Column(count, Integer, nullable=False, server_default="0") for count in COUNTS),
        *(Column(meter, BigInteger, nullable=False, server_default="0") for meter in METERS),
        Column("list_cost", Numeric(24, 12), nullable=False, server_default="0"),
        Column("billed_cost", Numeric(24, 12), nullable=False, server_default="0"),
        *more,
    )


ROLLUPS = {
    "key_id": _rollup("rollup_hour_key", "key_id"),
    "application_id": _rollup("rollup_hour_app", "application_id"),
    "model_id": _rollup("rollup_hour_model", "model_id", "deployment_id"),
    "day": _rollup(
        "rollup_day",
        "application_id",
        "key_id",
        "model_id",
        period="day_start",
        texts=("alias", "provider", "outcome"),
        more=(Index("ix_rollup_day_key_id", "workspace_id", "key_id", "day_start"),),
    ),
}
"""The read models by their leading dimension, hour by hour; and that of days, which answers for any of them together."""
