"""What the ids in the figures are called now: applications, keys and models, those that are gone included."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.billing.rollups import NO_APPLICATION
from app.extensions import execute
from app.units import PLATFORM_ID

MOST_CHOICES = 200
"""Applications and models that are named beyond those asked for, to choose from."""

_NAMES = """
    select 'application' as dimension, application_id as id, name,
        case when archived_at is not null then 'archived' end as state, cost_centre as detail
    from application where workspace_id = :workspace and (application_id = any(:applications) or application_id in (
        select application_id from application where workspace_id = :workspace
        order by archived_at is not null, name limit :choices))
    union all
    select 'model', m.model_id, m.name, null, null
    from model m where m.workspace_id in (:workspace, :platform) and (m.model_id = any(:models) or m.model_id in (
        select model_id from model where workspace_id in (:workspace, :platform) order by name limit :choices))
    union all
    select 'key', k.key_id, k.name, case when k.state = 'revoked' then 'revoked' end,
        concat_ws(' · ', k.prefix || '…' || k.last4, a.name)
    from api_key k left join application a using (workspace_id, application_id)
    where k.workspace_id = :workspace and k.key_id = any(:keys)
    union all
    select 'model', gone.id, last_call.alias, 'deleted', null
    from unnest(cast(:models as uuid[])) as gone(id)
    join lateral (
        select hour_start from rollup_hour_model
        where workspace_id = :workspace and model_id = gone.id and hour_start < :end order by hour_start desc limit 1
    ) last_hour on true
    join lateral (
        select alias from usage_event where workspace_id = :workspace and model_id = gone.id
            and occurred_at >= hour_start and occurred_at < hour_start + interval '2 hours' limit 1
    ) last_call on true
    where not exists (select 1 from model m where m.model_id = gone.id)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A name to show. `state` says that the thing is archived, revoked or deleted; `detail` tells it from others."""

    name: str
    state: str | None = None
    detail: str | None = None


Labels = dict[str, dict[UUID, Label]]

UNKNOWN = Label(name="unknown")
_NONE = Label(name="no application")


def of(session: Session, workspace_id: UUID, asked: Mapping[str, Collection[UUID]], *, before: datetime) -> Labels:
    """Name what is asked for by dimension, and the applications and models that there are, in one statement.

    A model that was deleted is called as it was in a call before `before`.
    """
    rows = execute(
        session,
        _NAMES,
        workspace=workspace_id,
        platform=PLATFORM_ID,
        applications=list(asked.get("application", ())),
        models=list(asked.get("model", ())),
        keys=list(asked.get("key", ())),
        end=before,
        choices=MOST_CHOICES,
    )
    found: Labels = {"application": {NO_APPLICATION: _NONE}, "model": {}, "key": {}}
    for row in rows:
        found[row.dimension][row.id] = Label(name=row.name, state=row.state, detail=row.detail)
    return found
