"""Rows of the catalogue (aliases and their deployments) and of the price book."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, Numeric, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TSTZRANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.units import new_id


class ModelRow(Base):
    """A language model as applications ask for it: the alias."""

    __tablename__ = "model"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    model_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    managed_by: Mapped[str] = mapped_column(server_default="console")
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        UniqueConstraint("workspace_id", "name"),
        CheckConstraint("managed_by in ('console', 'file')", name="managed_by"),
    )


class DeploymentRow(Base):
    """An upstream model at a provider account that serves an alias. Lower `priority` goes first."""

    __tablename__ = "deployment"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    deployment_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    model_id: Mapped[UUID]
    provider_id: Mapped[UUID]
    upstream_model: Mapped[str]
    weight: Mapped[int] = mapped_column(server_default="1")
    priority: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "model_id"], ["model.workspace_id", "model.model_id"]),
        ForeignKeyConstraint(["workspace_id", "provider_id"], ["provider.workspace_id", "provider.provider_id"]),
        UniqueConstraint("model_id", "provider_id", "upstream_model"),
        CheckConstraint("weight >= 0", name="weight"),
    )


class PriceRow(Base):
    """Dollars per million tokens of one meter, or for each unit, for the time in `valid`. An edit is a new row.

    `subject_id` is a model (its price applies to each of its deployments without one) or a deployment.
    """

    __tablename__ = "price"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    price_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    subject_id: Mapped[UUID]
    meter: Mapped[str]
    kind: Mapped[str] = mapped_column(server_default="list")
    unit_price: Mapped[Decimal]
    service_tier: Mapped[str] = mapped_column(server_default="standard")
    context_over: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_by: Mapped[UUID | None]
    note: Mapped[str | None]
    valid: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        CheckConstraint("unit_price >= 0", name="unit_price"),
        CheckConstraint("kind in ('list', 'contract', 'provider_cost')", name="kind"),
        CheckConstraint("service_tier in ('standard', 'batch', 'flex', 'priority')", name="service_tier"),
        CheckConstraint("context_over >= 0", name="context_over"),
        ExcludeConstraint(
            ("subject_id", "="),
            ("meter", "="),
            ("kind", "="),
            ("workspace_id", "="),
            ("service_tier", "="),
            ("context_over", "="),
            ("valid", "&&"),
            using="gist",
            name="ex_price_overlap",
        ),
        Index("ix_price_subject_id", "subject_id"),
    )


class PriceAdjustmentRow(Base):
    """What a workspace's list prices are multiplied by, for the time in `valid`."""

    __tablename__ = "price_adjustment"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    adjustment_id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    factor: Mapped[Decimal] = mapped_column(Numeric(9, 6))
    valid: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)
    note: Mapped[str | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id"], ["workspace.workspace_id"]),
        CheckConstraint("factor between 0 and 100", name="factor"),
        ExcludeConstraint(("workspace_id", "="), ("valid", "&&"), using="gist", name="ex_price_adjustment_overlap"),
    )
