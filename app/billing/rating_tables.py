"""Rows of the rating runs: recomputes and nightly checks, and what each found for whom.

They refer to applications and models by id alone: a bill outlives what it bills.
"""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base


class RatingRunRow(Base):
    """One run over the calls from `since` until `until`. Those before `done_until` have been rated, each day for good."""

    __tablename__ = "rating_run"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="waiting")
    since: Mapped[datetime]
    until: Mapped[datetime]
    model_id: Mapped[UUID | None]
    reason: Mapped[str]
    calls: Mapped[int] = mapped_column(BigInteger, server_default="0")
    calls_done: Mapped[int] = mapped_column(BigInteger, server_default="0")
    done_until: Mapped[datetime | None]
    changed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    delta: Mapped[Decimal] = mapped_column(server_default="0")
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        CheckConstraint("kind in ('dry_run', 'apply', 'check')", name="kind"),
        CheckConstraint("state in ('waiting', 'running', 'done', 'cancelled', 'failed')", name="state"),
        CheckConstraint("since < until", name="span"),
    )


class RatingDeltaRow(Base):
    """What a run's calls of one application, model and month cost before and after it.

    `is_closed`: the month was closed, so its charges stayed and a correction carries the difference.
    """

    __tablename__ = "rating_delta"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    is_closed: Mapped[bool] = mapped_column(primary_key=True)
    application_id: Mapped[UUID] = mapped_column(primary_key=True)
    model_id: Mapped[UUID] = mapped_column(primary_key=True)
    calls: Mapped[int] = mapped_column(BigInteger)
    before: Mapped[Decimal]
    after: Mapped[Decimal]
    unpriced_before: Mapped[int] = mapped_column(BigInteger, server_default="0")
    unpriced_after: Mapped[int] = mapped_column(BigInteger, server_default="0")

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "run_id"], ["rating_run.workspace_id", "rating_run.run_id"]),
    )
