"""What the ids in the figures are called now: applications, keys and models, those that are gone included."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.billing.dimensions import IDS, NOBODY, TAG, Value
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
        coalesce(a.name, k.prefix || '…' || k.last4)
    from api_key k left join application a using (workspace_id, application_id)
    where k.workspace_id = :workspace and k.key_id = any(:keys)
    union all
    select 'member', u.user_id, u.name, case when u.disabled_at is not null then 'deactivated' end, u.email
    from user_account u where u.user_id = any(:members)
        and exists (select 1 from api_key k where k.workspace_id = :workspace and k.owner_id = u.user_id)
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
    where not exists (select 1 from model m where m.model_id = gone.id)
    union all
    select 'tag', null, tag.name, null, null from (
        select distinct jsonb_object_keys(tags) as name from application
        where workspace_id = :workspace and tags <> '{}' order by name limit :choices
    ) tag"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A name to show. `state` says that the thing is archived, revoked or deleted; `detail` tells it from others."""

    name: str
    state: str | None = None
    detail: str | None = None


Labels = dict[str, dict[UUID, Label]]

UNKNOWN = Label(name="unknown")
_MISSING = {"application": "no application", "member": "no owner", "cost_centre": "no cost centre"}
STATUSES = {
    "done": "succeeded",
    "upstream_error": "failed at the provider",
    "client_gone": "client left",
    "timeout": "timed out",
    "drained": "stopped with the process",
    "unsettled": "provisional",
}
"""How a call ended, in people's words."""


def of(session: Session, workspace_id: UUID, asked: Mapping[str, Collection[UUID]], *, before: datetime) -> Labels:
    """Name what is asked for by dimension, and the applications and models that there are, in one statement.

    A model that was deleted is called as it was in a call before `before`.
    """
    return with_tags(session, workspace_id, asked, before=before)[0]


def with_tags(
    session: Session, workspace_id: UUID, asked: Mapping[str, Collection[UUID]], *, before: datetime
) -> tuple[Labels, list[str]]:
    """Do the same, and list the names of the applications' tags, in the same statement."""
    rows = execute(
        session,
        _NAMES,
        workspace=workspace_id,
        platform=PLATFORM_ID,
        applications=list(asked.get("application", ())),
        models=list(asked.get("model", ())),
        keys=list(asked.get("key", ())),
        members=list(asked.get("member", ())),
        end=before,
        choices=MOST_CHOICES,
    )
    found: Labels = {name: {} for name in IDS}
    for name in IDS & _MISSING.keys():
        found[name][NOBODY] = Label(name=_MISSING[name])
    tags: list[str] = []
    for row in rows:
        if row.dimension == "tag":
            tags.append(row.name)
        else:
            found[row.dimension][row.id] = Label(name=row.name, state=row.state, detail=row.detail)
    return found, sorted(tags)


def label(found: Labels, dimension: str, value: Value) -> Label:
    """Name one value of a dimension: an id as it was found, a text by itself."""
    if isinstance(value, UUID):
        return found[dimension].get(value, UNKNOWN)
    if dimension == "status":
        return Label(name=STATUSES.get(value, value))
    missing = f"no {dimension.removeprefix(TAG)}" if dimension.startswith(TAG) else _MISSING.get(dimension, "none")
    return Label(name=value or missing)
