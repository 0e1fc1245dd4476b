"""From when on prices may change: nothing that a closed month, or one that is about to be, was billed by."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from app.billing.period_tables import BillingPeriodRow
from app.billing.periods import OPEN
from app.extensions import transaction
from app.units import PLATFORM_ID


def open_since(workspace_id: UUID) -> datetime | None:
    """Find the end of the last month that is not open; None when all are. A platform's price counts in every workspace."""
    left = (BillingPeriodRow.workspace_id == workspace_id, BillingPeriodRow.state != OPEN)
    own = select(func.max(BillingPeriodRow.ends_at)).where(*left)
    with transaction(workspace_id) as session:
        return session.scalar(select(func.last_month_end()) if workspace_id == PLATFORM_ID else own)
