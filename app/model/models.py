"""Models: the aliases that applications ask for, and the deployments that serve them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.extensions import transaction
from app.model.tables import DeploymentRow, ModelRow
from app.units import new_id
from app.workspace import names, revisions
from app.workspace.names import Invalid, NotFound

LARGEST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """An upstream model at a provider account. Lower `priority` goes first, `weight` shares among equals."""

    provider_id: UUID
    upstream_model: str
    weight: int = 1
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """An alias with its deployments."""

    model_id: UUID
    name: str
    managed_by: str
    deployments: tuple[Deployment, ...]


def save(workspace_id: UUID, name: str, deployments: Sequence[Deployment], *, managed_by: str = "console") -> UUID:
    """Make the alias of this name, or change it to these deployments; raise `Invalid` for what cannot be stored.

    A deployment that stays keeps its id, and so its prices. Saving what is there already changes nothing.
    """
    names.check("name", name)
    check_deployments(deployments)
    with transaction(workspace_id) as session:
        row = session.scalars(
            select(ModelRow).where(ModelRow.workspace_id == workspace_id, ModelRow.name == name)
        ).first()
        before = None if row is None else (row.managed_by, _deployments(session, workspace_id).get(row.model_id, []))
        if row is None:
            row = ModelRow(workspace_id=workspace_id, model_id=new_id(), name=name)
            session.add(row)
        if before != (managed_by, sorted(deployments, key=_order)):
            row.managed_by = managed_by
            session.flush()
            _replace_deployments(session, row, deployments)
            revisions.bump_catalogue()
        return row.model_id


def by_name(workspace_id: UUID, name: str) -> Model | None:
    """Find a workspace's own alias."""
    return next((found for found in all_of(workspace_id) if found.name == name), None)


def all_of(workspace_id: UUID) -> list[Model]:
    """List a workspace's own aliases by name."""
    statement = select(ModelRow).where(ModelRow.workspace_id == workspace_id).order_by(ModelRow.name)
    with transaction(workspace_id) as session:
        serving = _deployments(session, workspace_id)
        return [
            Model(
                model_id=row.model_id,
                name=row.name,
                managed_by=row.managed_by,
                deployments=tuple(serving.get(row.model_id, ())),
            )
            for row in session.scalars(statement)
        ]


def delete(workspace_id: UUID, model_id: UUID) -> None:
    """Remove an alias and its deployments. Its prices stay: calls that were made are still priced by them."""
    mine = (ModelRow.workspace_id == workspace_id, ModelRow.model_id == model_id)
    serving = (DeploymentRow.workspace_id == workspace_id, DeploymentRow.model_id == model_id)
    with transaction(workspace_id) as session:
        session.execute(sql.delete(DeploymentRow).where(*serving))
        if not session.execute(sql.delete(ModelRow).where(*mine).returning(ModelRow.model_id)).first():
            raise NotFound(f"there is no model {model_id}")
        revisions.bump_catalogue()


def check_deployments(deployments: Sequence[Deployment]) -> None:
    """Raise `Invalid` for a deployment that cannot be stored or stands there twice."""
    for deployment in deployments:
        names.check_foreign("model", deployment.upstream_model)
        check_share("weight", deployment.weight)
        check_share("priority", deployment.priority)
    if len({_place(deployment) for deployment in deployments}) < len(deployments):
        raise Invalid("deployments", "name the same provider and model twice")


def check_share(field: str, value: int) -> int:
    """Give a weight or a priority back, or raise `Invalid`."""
    if not 0 <= value <= LARGEST:
        raise Invalid(field, f"must be a whole number from 0 to {LARGEST}, not {value}")
    return value


def _place(deployment: Deployment) -> tuple[UUID, str]:
    return deployment.provider_id, deployment.upstream_model


def _order(deployment: Deployment) -> tuple[int, str, UUID]:
    return deployment.priority, deployment.upstream_model, deployment.provider_id


def _deployments(session: Session, workspace_id: UUID) -> dict[UUID, list[Deployment]]:
    """Read the workspace's deployments by alias, in the order of `_order`."""
    found: dict[UUID, list[Deployment]] = {}
    for row in session.scalars(select(DeploymentRow).where(DeploymentRow.workspace_id == workspace_id)):
        value = Deployment(
            provider_id=row.provider_id, upstream_model=row.upstream_model, weight=row.weight, priority=row.priority
        )
        found.setdefault(row.model_id, []).append(value)
    return {model_id: sorted(serving, key=_order) for model_id, serving in found.items()}


def _replace_deployments(session: Session, model: ModelRow, deployments: Sequence[Deployment]) -> None:
    mine = (DeploymentRow.workspace_id == model.workspace_id, DeploymentRow.model_id == model.model_id)
    rows = {(row.provider_id, row.upstream_model): row for row in session.scalars(select(DeploymentRow).where(*mine))}
    wanted = {_place(deployment): deployment for deployment in deployments}
    for place in rows.keys() - wanted.keys():
        session.delete(rows[place])
    for place, deployment in wanted.items():
        row = rows.get(place) or DeploymentRow(workspace_id=model.workspace_id, model_id=model.model_id)
        row.provider_id, row.upstream_model = place
        row.weight, row.priority = deployment.weight, deployment.priority
        session.add(row)
    session.flush()
