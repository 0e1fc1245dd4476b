"""What prices hang on: models, and the deployments that serve them. A deployment's own prices go before its model's."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from app.extensions import transaction
from app.model.prices import PROVIDER_COST
from app.model.tables import DeploymentRow, ModelRow, PriceRow
from app.provider import providers
from app.units import PLATFORM_ID
from app.workspace.names import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model, or one of its deployments, which is named by its provider and its upstream model.

    `managed_by` is who manages the model. `priced`: a deployment that has list or contract prices of its own.
    """

    subject_id: UUID
    owner_id: UUID
    model_id: UUID
    name: str
    model_name: str
    managed_by: str
    priced: bool = False

    @property
    def is_deployment(self) -> bool:
        """Tell a deployment from a model."""
        return self.subject_id != self.model_id


def find(workspace_id: UUID, subject_id: UUID, *, shared: bool) -> Subject:
    """Find a model or deployment of the workspace, or with `shared` of the platform; raise `NotFound`."""
    owners = {workspace_id, PLATFORM_ID} if shared else {workspace_id}
    asked = select(ModelRow).where(ModelRow.model_id == subject_id, ModelRow.workspace_id.in_(owners))
    with transaction(workspace_id) as session:
        if found := session.scalars(asked).first():
            return _model(found)
        served = _rows(session, DeploymentRow.deployment_id == subject_id, DeploymentRow.workspace_id.in_(owners))
        if served:
            return _named(served, served[0].owner_id)[0]
    raise NotFound(f"there is no model {subject_id}")


def serving(workspace_id: UUID, model: Subject) -> list[Subject]:
    """List the deployments of a model that the workspace can see, by name."""
    mine = (DeploymentRow.workspace_id == model.owner_id, DeploymentRow.model_id == model.model_id)
    with transaction(workspace_id) as session:
        return sorted(_named(_rows(session, *mine), model.owner_id), key=lambda one: one.name)


def _model(row: ModelRow) -> Subject:
    return Subject(
        subject_id=row.model_id,
        owner_id=row.workspace_id,
        model_id=row.model_id,
        name=row.name,
        model_name=row.name,
        managed_by=row.managed_by,
    )


def _rows(session: Session, *which: ColumnElement[bool]) -> list[Any]:
    """Read deployments, each with its model's name and whether it has prices of its own."""
    at, model, price = DeploymentRow, ModelRow, PriceRow
    own = (price.subject_id == at.deployment_id, price.kind != PROVIDER_COST, ~func.isempty(price.valid))
    columns = (at.deployment_id, at.workspace_id.label("owner_id"), at.model_id, at.provider_id, at.upstream_model)
    asked = select(*columns, model.name, model.managed_by, exists().where(*own).label("priced"))
    its_model = (model.workspace_id == at.workspace_id) & (model.model_id == at.model_id)
    return list(session.execute(asked.join(model, its_model).where(*which)))


def _named(rows: list[Any], owner_id: UUID) -> list[Subject]:
    accounts = {one.provider_id: one.name for one in providers.all_of(owner_id)}
    return [
        Subject(
            subject_id=row.deployment_id,
            owner_id=row.owner_id,
            model_id=row.model_id,
            name=f"{accounts[row.provider_id]}/{row.upstream_model}",
            model_name=row.name,
            managed_by=row.managed_by,
            priced=row.priced,
        )
        for row in rows
    ]
