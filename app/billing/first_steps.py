"""The first steps in a workspace: what is there already, up to everything that a first call needs."""

from dataclasses import dataclass
from uuid import UUID

from app.extensions import execute, transaction

_STATE = """
    select exists (select from provider) as provider, exists (select from deployment) as model,
        exists (select from application where workspace_id = :id and archived_at is null) as application,
        exists (select from api_key where workspace_id = :id and state = 'active' and kind = 'proxy'
            and (expires_at is null or expires_at > now())) as key,
        (select name from model join deployment using (workspace_id, model_id)
            order by model.workspace_id <> :id, name limit 1) as alias"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSteps:
    """Which steps are done. Providers and models of the platform count: the workspace may use them."""

    provider: bool
    model: bool
    application: bool
    key: bool
    alias: str | None
    """A model that can be called, its own before the platform's."""


def of(workspace_id: UUID) -> FirstSteps:
    """See what a workspace has, in one statement."""
    with transaction(workspace_id) as session:
        return FirstSteps(**execute(session, _STATE, id=workspace_id).one()._mapping)  # noqa: SLF001
