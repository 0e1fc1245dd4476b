"""What a file says about things outside it: names that must exist, and rows that are not the file's."""

from collections.abc import Iterator
from uuid import UUID

from app.application import keys
from app.application.keys import ALL_MODELS, Key
from app.cli import state as states
from app.cli.entries import ApplicationEntry, Config, WorkspaceEntry
from app.cli.state import FILE, State, Tenant
from app.cli.yaml_fields import Problem
from app.model import models
from app.workspace import workspaces

ELSEWHERE = "was not made by a file, so it is not changed here; rename one of the two"


def check(config: Config, state: State) -> list[Problem]:
    """List what is wrong with a file, given what is there."""
    problems = [*_not_ours(config, state), *_missing_providers(config, state)]
    for workspace in config.workspaces:
        problems += _missing_models(workspace, config, state)
        problems += _workspace(workspace, state)
    problems += _taken_secrets(config, state)
    return problems


def _not_ours(config: Config, state: State) -> Iterator[Problem]:
    for provider in config.providers:
        if provider.name in state.providers and state.providers[provider.name].managed_by != FILE:
            yield Problem(provider.line, f"provider {provider.name!r} {ELSEWHERE}")
    for model in config.models:
        if model.name in state.models and state.models[model.name].managed_by != FILE:
            yield Problem(model.line, f"model {model.name!r} {ELSEWHERE}")


def _missing_providers(config: Config, state: State) -> Iterator[Problem]:
    known = {entry.name for entry in config.providers}
    known |= {name for name, provider in state.providers.items() if provider.managed_by != FILE}
    for deployment in (deployment for model in config.models for deployment in model.deployments):
        if deployment.provider and deployment.provider not in known:
            yield Problem(
                deployment.line, f"there is no provider {deployment.provider!r}, in this file or made elsewhere"
            )


def _missing_models(workspace: WorkspaceEntry, config: Config, state: State) -> Iterator[Problem]:
    known = {ALL_MODELS, *(entry.name for entry in config.models)}
    known |= {name for name, model in state.models.items() if model.managed_by != FILE}
    if workspace.name in state.tenants:
        known |= {model.name for model in models.all_of(state.tenants[workspace.name].workspace.workspace_id)}
    for key in (key for application in workspace.applications for key in application.keys):
        for name in key.models:
            if name not in known:
                yield Problem(key.line, f"key {key.path}: there is no model {name!r}, in this file or made elsewhere")


def _workspace(entry: WorkspaceEntry, state: State) -> Iterator[Problem]:
    tenant = state.tenants.get(entry.name)
    if tenant is None:
        return
    if tenant.workspace.managed_by != FILE:
        yield Problem(entry.line, f"workspace {entry.name!r} {ELSEWHERE}")
        return
    for application in entry.applications:
        yield from _application(application, tenant)


def _application(entry: ApplicationEntry, tenant: Tenant) -> Iterator[Problem]:
    found = tenant.applications.get(entry.name)
    if found and found.managed_by != FILE:
        yield Problem(entry.line, f"application {tenant.path(entry.name)!r} {ELSEWHERE}")
    for key in entry.keys:
        other = tenant.keys.get((entry.name, key.name))
        if other and other.managed_by != FILE:
            yield Problem(key.line, f"key {key.path!r} {ELSEWHERE}")


def _taken_secrets(config: Config, state: State) -> Iterator[Problem]:
    """Find secrets that are other keys' already, wherever those are."""
    kept = {key.place for key in config.every_key()}
    for entry in config.every_key():
        owner = keys.owner_of(entry.secret) if entry.secret else None
        if owner is None:
            continue
        place, key = _find(*owner, state)
        leaves = key.managed_by == FILE and place not in kept
        if place != entry.place and not leaves:
            text = f"key {entry.path} has the secret of key {'/'.join(place)}; each needs its own"
            yield Problem(entry.line, text)


def _find(workspace_id: UUID, key_id: UUID, state: State) -> tuple[tuple[str, ...], Key]:
    """Find a key and its place anywhere on the platform."""
    known = (tenant for tenant in state.tenants.values() if tenant.workspace.workspace_id == workspace_id)
    tenant = next(known, None)
    if tenant is None:
        places = workspaces.all_of_platform()
        tenant = states.tenant(next(place for place in places if place.workspace_id == workspace_id))
    for (application, name), key in tenant.keys.items():
        if key.key_id == key_id:
            return (tenant.workspace.name, application, name), key
    key = next(key for key in keys.all_of(workspace_id) if key.key_id == key_id)
    return (tenant.workspace.name, key.name), key
