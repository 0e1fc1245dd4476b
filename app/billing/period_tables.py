"""Rows of billing periods, of what corrects and credits them, and of the statements that they end with.

Nothing refers to applications, models or people by foreign key: a bill outlives what it bills.
"""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base


class BillingPeriodRow(Base):
    """A month that has left *open* at least once. Its zone and its ends are fixed from then on."""

    __tablename__ = "billing_period"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(server_default="open")
    timezone: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[UUID | None]
    totals_hash: Mapped[bytes | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        CheckConstraint("state in ('open', 'draft', 'closed')", name="state"),
        CheckConstraint("extract(day from month) = 1", name="month"),
        CheckConstraint("(state = 'closed') = (closed_at is not null)", name="closed"),
        CheckConstraint("starts_at < ends_at", name="span"),
    )


class CorrectionRow(Base):
    """What a closed month's bill was wrong by; a later month's statement carries it."""

    __tablename__ = "correction"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    correction_id: Mapped[UUID] = mapped_column(primary_key=True)
    closed_month: Mapped[date]
    into_month: Mapped[date]
    application_id: Mapped[UUID | None]
    model_id: Mapped[UUID | None]
    run_id: Mapped[UUID | None]
    calls: Mapped[int] = mapped_column(BigInteger, server_default="0")
    amount: Mapped[Decimal]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        CheckConstraint("closed_month < into_month", name="months"),
    )


class CreditRow(Base):
    """Money that a month's statement takes off; a negative amount is added to it."""

    __tablename__ = "credit"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    credit_id: Mapped[UUID] = mapped_column(primary_key=True)
    month: Mapped[date]
    amount: Mapped[Decimal]
    reason: Mapped[str]
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        CheckConstraint("amount <> 0", name="amount"),
    )


class StatementRow(Base):
    """A closed month's bill. One that was voided stays, and the next has another version and number."""

    __tablename__ = "statement"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    statement_id: Mapped[UUID] = mapped_column(primary_key=True)
    month: Mapped[date]
    version: Mapped[int] = mapped_column(server_default="1")
    number: Mapped[str] = mapped_column(unique=True)
    currency: Mapped[str]
    po_number: Mapped[str | None]
    total: Mapped[Decimal]
    issued_at: Mapped[datetime]
    voided_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        UniqueConstraint("workspace_id", "month", "version"),
    )


class StatementLineRow(Base):
    """One line of a statement; the lines add up to its total."""

    __tablename__ = "statement_line"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    statement_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    application_id: Mapped[UUID | None]
    model_id: Mapped[UUID | None]
    description: Mapped[str]
    calls: Mapped[int] = mapped_column(BigInteger, server_default="0")
    tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    amount: Mapped[Decimal]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "statement_id"], ["statement.workspace_id", "statement.statement_id"]),
        CheckConstraint("kind in ('usage', 'correction', 'credit', 'rounding')", name="kind"),
    )
