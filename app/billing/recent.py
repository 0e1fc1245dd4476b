"""What was used lately: when a key last called, and how many calls came since an instant. Asks the ledger itself."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, cast, func, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias

from app.billing.tables import UsageEventRow
from app.extensions import transaction

BY = {
    "key": UsageEventRow.key_id,
    "application": UsageEventRow.application_id,
    "model": UsageEventRow.model_id,
}


def last_used(workspace_id: UUID, key_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """Find when each key made its last call that is in the ledger; a key that made none is not listed."""
    if not key_ids:
        return {}
    asked = _listed(key_ids)
    event = UsageEventRow
    mine = (event.workspace_id == workspace_id, event.key_id == asked.c.key_id)
    newest = select(event.occurred_at).where(*mine).order_by(event.occurred_at.desc()).limit(1).lateral("newest")
    statement = select(asked.c.key_id, newest.c.occurred_at).select_from(asked.join(newest, true()))
    with transaction(workspace_id) as session:
        return dict(session.execute(statement).all())


def used_since(workspace_id: UUID, key_ids: Collection[UUID], since: datetime) -> set[UUID]:
    """Tell which of the keys have called since an instant."""
    if not key_ids:
        return set()
    asked = _listed(key_ids)
    event = UsageEventRow
    mine = (event.workspace_id == workspace_id, event.key_id == asked.c.key_id, event.occurred_at >= since)
    with transaction(workspace_id) as session:
        return set(session.scalars(select(asked.c.key_id).where(select(event.key_id).where(*mine).exists())))


def calls_since(workspace_id: UUID, since: datetime, *, by: str, of: UUID) -> int:
    """Count the calls of a key, an application or a model (`by`) since an instant."""
    mine = (UsageEventRow.workspace_id == workspace_id, UsageEventRow.occurred_at >= since, BY[by] == of)
    with transaction(workspace_id) as session:
        return session.scalar(select(func.count()).select_from(UsageEventRow).where(*mine)) or 0


def _listed(ids: Collection[UUID]) -> TableValuedAlias:
    """Hand over any number of ids as one parameter."""
    return func.unnest(cast(list(ids), ARRAY(Uuid()))).table_valued("key_id").render_derived()
