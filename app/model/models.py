"""Models: the aliases that applications ask for, and the deployments that serve them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.extensions import transaction
from app.logging import audit
from app.model.tables import DeploymentRow, ModelRow
from app.provider import providers
from app.units import PLATFORM_ID, new_id
from app.workspace import names, pages, revisions, twins
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
            _note_saved(row, before, (managed_by, deployments))
        return row.model_id


def create(workspace_id: UUID, name: str, deployments: Sequence[Deployment], *, model_id: UUID) -> UUID:
    """Make an alias; raise `Invalid` for what cannot be stored. One that has the id already stays as it is."""
    names.check("name", name)
    check_deployments(deployments)
    with transaction(workspace_id) as session, names.unique("a model", name):
        twins.wait(session, model_id)
        if session.get(ModelRow, (workspace_id, model_id)):
            return model_id
        row = ModelRow(workspace_id=workspace_id, model_id=model_id, name=name, managed_by="console")
        session.add(row)
        session.flush()
        _check_own(workspace_id, deployments)
        _replace_deployments(session, row, deployments)
        revisions.bump_catalogue()
        audit.record("model.create", kind="model", id=model_id, name=name, after=shown(name, deployments))
        return model_id


def edit(workspace_id: UUID, model_id: UUID, name: str, deployments: Sequence[Deployment]) -> None:
    """Change an alias; a deployment that stays keeps its id, and so its prices."""
    names.check("name", name)
    check_deployments(deployments)
    with transaction(workspace_id) as session, names.unique("a model", name):
        before = get(workspace_id, model_id)
        row = session.get_one(ModelRow, (workspace_id, model_id))
        row.name = name
        session.flush()
        _check_own(workspace_id, deployments)
        _replace_deployments(session, row, deployments)
        revisions.bump_catalogue()
        was, now = shown(before.name, before.deployments), shown(name, deployments)
        audit.record("model.update", kind="model", id=model_id, name=name, before=was, after=now)


def get(workspace_id: UUID, model_id: UUID) -> Model:
    """Read one of a workspace's own aliases; raise `NotFound`."""
    with transaction(workspace_id) as session:
        row = session.get(ModelRow, (workspace_id, model_id))
        if row is None:
            raise NotFound(f"there is no model {model_id}")
        return _value(row, _deployments(session, workspace_id, [model_id]))


def page(workspace_id: UUID, *, search: str = "", after: str | None = None) -> pages.Page[Model]:
    """List a page of the workspace's own aliases by name, those whose name holds `search`."""
    statement = select(ModelRow).where(ModelRow.workspace_id == workspace_id)
    with transaction(workspace_id) as session:
        rows = list(session.scalars(pages.by_name(statement, ModelRow.name, search=search, after=after)))
        serving = _deployments(session, workspace_id, [row.model_id for row in rows])
        return pages.cut([_value(row, serving) for row in rows], lambda one: one.name)


def names_of(workspace_id: UUID) -> list[str]:
    """Name the aliases that a workspace can ask for: its own and the platform's."""
    statement = select(ModelRow.name).where(ModelRow.workspace_id.in_({workspace_id, PLATFORM_ID}))
    with transaction(workspace_id) as session:
        return list(session.scalars(statement.distinct().order_by(ModelRow.name)))


def using(workspace_id: UUID, provider_id: UUID) -> dict[UUID, str]:
    """Find the aliases that have a deployment at a provider account: their names by id, in the order of the names."""
    joined = (DeploymentRow.workspace_id == ModelRow.workspace_id) & (DeploymentRow.model_id == ModelRow.model_id)
    mine = (ModelRow.workspace_id == workspace_id, DeploymentRow.provider_id == provider_id)
    found = select(ModelRow.model_id, ModelRow.name).join(DeploymentRow, joined).where(*mine)
    with transaction(workspace_id) as session:
        return {row.model_id: row.name for row in session.execute(found.distinct().order_by(ModelRow.name))}


def by_name(workspace_id: UUID, name: str) -> Model | None:
    """Find a workspace's own alias."""
    return next((found for found in all_of(workspace_id) if found.name == name), None)


def all_of(workspace_id: UUID) -> list[Model]:
    """List a workspace's own aliases by name."""
    statement = select(ModelRow).where(ModelRow.workspace_id == workspace_id).order_by(ModelRow.name)
    with transaction(workspace_id) as session:
        serving = _deployments(session, workspace_id)
        return [_value(row, serving) for row in session.scalars(statement)]


def delete(workspace_id: UUID, model_id: UUID) -> None:
    """Remove an alias and its deployments. Its prices stay: calls that were made are still priced by them."""
    mine = (ModelRow.workspace_id == workspace_id, ModelRow.model_id == model_id)
    serving = (DeploymentRow.workspace_id == workspace_id, DeploymentRow.model_id == model_id)
    with transaction(workspace_id) as session:
        was = get(workspace_id, model_id)
        session.execute(sql.delete(DeploymentRow).where(*serving))
        if not session.execute(sql.delete(ModelRow).where(*mine).returning(ModelRow.model_id)).first():
            raise NotFound(f"there is no model {model_id}")
        revisions.bump_catalogue()
        before = shown(was.name, was.deployments)
        audit.record("model.delete", kind="model", id=model_id, name=was.name, before=before)


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


def shown(name: str, deployments: Sequence[Deployment]) -> dict[str, Any]:
    """Write an alias down for the audit trail."""
    return {"name": name, "deployments": [asdict(deployment) for deployment in sorted(deployments, key=_order)]}


def _note_saved(
    row: ModelRow, before: tuple[str, Sequence[Deployment]] | None, after: tuple[str, Sequence[Deployment]]
) -> None:
    """Write down a saved alias; both sides are who manages it and its deployments."""
    was, now = (side and {"managed_by": side[0]} | shown(row.name, side[1]) for side in (before, after))
    action = "model.create" if before is None else "model.update"
    audit.record(action, kind="model", id=row.model_id, name=row.name, before=was, after=now)


def _check_own(workspace_id: UUID, deployments: Sequence[Deployment]) -> None:
    own = {provider.provider_id for provider in providers.all_of(workspace_id)}
    if any(deployment.provider_id not in own for deployment in deployments):
        raise Invalid("provider", "is none of this workspace; choose one from the list")


def _value(row: ModelRow, serving: Mapping[UUID, Sequence[Deployment]]) -> Model:
    return Model(
        model_id=row.model_id,
        name=row.name,
        managed_by=row.managed_by,
        deployments=tuple(serving.get(row.model_id, ())),
    )


def _place(deployment: Deployment) -> tuple[UUID, str]:
    return deployment.provider_id, deployment.upstream_model


def _order(deployment: Deployment) -> tuple[int, str, UUID]:
    return deployment.priority, deployment.upstream_model, deployment.provider_id


def _deployments(
    session: Session, workspace_id: UUID, model_ids: Sequence[UUID] | None = None
) -> dict[UUID, list[Deployment]]:
    """Read the workspace's deployments, or those of some aliases, by alias and in the order of `_order`."""
    found: dict[UUID, list[Deployment]] = {}
    statement = select(DeploymentRow).where(DeploymentRow.workspace_id == workspace_id)
    if model_ids is not None:
        statement = statement.where(DeploymentRow.model_id.in_(model_ids))
    for row in session.scalars(statement):
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
