"""The row of the counts of refused calls."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base


class RefusalHourRow(Base):
    """How many calls of a key were refused for a reason within an hour of the workspace's clock.

    No read model of the ledger, which knows nothing of them: it is never rebuilt, nor moved to another time zone.
    """

    __tablename__ = "refusal_hour"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    hour_start: Mapped[datetime] = mapped_column(primary_key=True)
    key_id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    calls: Mapped[int] = mapped_column(BigInteger)
