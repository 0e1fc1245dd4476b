"""Rows of budgets and of the alerts that they gave. What was alerted is kept: it says who knew what, and when."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.units import new_id


class BudgetRow(Base):
    """A limit on what a scope may spend in a period.

    While it acts, `acting_until` is the end of that period, None for one without end, and
    `acting_spent` what was spent when that was last looked at. `checked_at` is empty until the
    worker has looked at what it says now.
    """

    __tablename__ = "budget"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    budget_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    scope: Mapped[str]
    scope_id: Mapped[UUID | None]
    period: Mapped[str]
    limit_usd: Mapped[Decimal]
    thresholds: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default=text("'{50,80,100}'"))
    action: Mapped[str] = mapped_column(server_default="notify")
    downgrade_to: Mapped[str | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    checked_at: Mapped[datetime | None]
    acting_since: Mapped[datetime | None]
    acting_until: Mapped[datetime | None]
    acting_spent: Mapped[Decimal | None]
    revision: Mapped[int] = mapped_column(server_default="0")
    archived_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        UniqueConstraint("workspace_id", "name"),
        CheckConstraint("scope in ('workspace', 'application', 'key', 'model')", name="scope"),
        CheckConstraint("period in ('hour', 'day', 'week', 'month', 'total')", name="period"),
        CheckConstraint("limit_usd >= 0", name="limit_usd"),
        CheckConstraint("action in ('notify', 'downgrade', 'block')", name="action"),
        CheckConstraint("(scope = 'workspace') = (scope_id is null)", name="scope_id"),
        CheckConstraint("(action = 'downgrade') = (downgrade_to is not null)", name="downgrade"),
        Index("ix_budget_revision", "workspace_id", "revision", postgresql_where=text("revision > 0")),
    )


class BudgetAlertRow(Base):
    """A threshold that was reached, once in each period."""

    __tablename__ = "budget_alert"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    budget_id: Mapped[UUID] = mapped_column(primary_key=True)
    period_start: Mapped[datetime] = mapped_column(primary_key=True)
    threshold: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    spent: Mapped[Decimal]
    limit_usd: Mapped[Decimal]
    fired_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (ForeignKeyConstraint(["workspace_id", "budget_id"], ["budget.workspace_id", "budget.budget_id"]),)
