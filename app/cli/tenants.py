"""Makes workspaces, applications and keys what a file says.

Nothing here is ever deleted: what a file no longer has is revoked or archived, because its calls
stay on the bill, and comes back when the file has it again.
"""

from datetime import datetime
from uuid import UUID

from app.application import applications, keys
from app.application.keys import Key, KeyChange
from app.application.limits import Limits
from app.cli.entries import ApplicationEntry, Config, KeyEntry, WorkspaceEntry
from app.cli.journal import Journal, difference
from app.cli.state import FILE, State, Tenant
from app.workspace import workspaces

GONE = "no longer in the file"


def prune(config: Config, state: State, journal: Journal, *, now: datetime) -> None:
    """Revoke the file's own keys that it no longer has, and archive what held them."""
    kept = {key.place for key in config.every_key()}
    inside = {(place.name, entry.name) for place in config.workspaces for entry in place.applications}
    named = {entry.name for entry in config.workspaces}
    for tenant in state.tenants.values():
        if tenant.workspace.managed_by != FILE:
            continue
        _prune_keys(tenant, kept, journal, now=now)
        still_used = _prune_applications(tenant, inside, journal, now=now)
        if tenant.workspace.name not in named and not tenant.workspace.archived_at:
            _prune_workspace(tenant, still_used, journal, now=now)


def apply(config: Config, state: State, journal: Journal, *, now: datetime) -> None:
    """Save what the file has."""
    for entry in config.workspaces:
        tenant = state.tenants.get(entry.name)
        workspace_id = _save_workspace(entry, tenant, journal)
        for application in entry.applications:
            _save_application(workspace_id, entry, application, tenant, journal, now=now)


def _prune_keys(tenant: Tenant, kept: set[tuple[str, str, str]], journal: Journal, *, now: datetime) -> None:
    for place, key in tenant.keys.items():
        if key.managed_by == FILE and key.state == "active" and (tenant.workspace.name, *place) not in kept:
            keys.revoke(tenant.workspace.workspace_id, key.key_id, now=now)
            journal.did(f"revoke key {tenant.path(*place)}: {GONE}")


def _prune_applications(tenant: Tenant, inside: set[tuple[str, str]], journal: Journal, *, now: datetime) -> list[str]:
    """Archive applications; give the names of those that somebody else still uses."""
    foreign = {place[0] for place, key in tenant.keys.items() if key.managed_by != FILE and key.state == "active"}
    used = [name for name, found in tenant.applications.items() if found.managed_by != FILE and not found.archived_at]
    for name, found in tenant.applications.items():
        path = tenant.path(name)
        if found.managed_by != FILE or found.archived_at or (tenant.workspace.name, name) in inside:
            continue
        if name in foreign:
            journal.notes.append(f"application {path} stays: a key made elsewhere uses it")
            used.append(name)
        else:
            applications.archive(tenant.workspace.workspace_id, found.application_id, now=now)
            journal.did(f"archive application {path}: {GONE}")
    return used


def _prune_workspace(tenant: Tenant, still_used: list[str], journal: Journal, *, now: datetime) -> None:
    name, workspace_id = tenant.workspace.name, tenant.workspace.workspace_id
    if still_used:
        journal.notes.append(f"workspace {name} stays: application {still_used[0]} is used elsewhere")
        return
    workspaces.archive(workspace_id, now=now)
    keys.refresh(workspace_id)
    journal.did(f"archive workspace {name}: {GONE}")


def _save_workspace(entry: WorkspaceEntry, tenant: Tenant | None, journal: Journal) -> UUID:
    if tenant is None:
        journal.did(f"create workspace {entry.name}")
        workspace_id = workspaces.create(entry.name, timezone=entry.timezone, managed_by=FILE)
        if entry.po_number:
            workspaces.set_po_number(workspace_id, entry.po_number)
        return workspace_id
    before = tenant.workspace
    if before.archived_at:
        journal.did(f"revive workspace {entry.name}")
        workspaces.revive(before.workspace_id)
    if before.timezone != entry.timezone:
        journal.did(f"update workspace {entry.name}", difference("timezone", before.timezone, entry.timezone))
        workspaces.set_timezone(before.workspace_id, entry.timezone)
    if before.archived_at or before.timezone != entry.timezone:
        keys.refresh(before.workspace_id)
    if entry.po_number is not None:
        _save_po_number(entry, before.workspace_id, journal)
    return before.workspace_id


def _save_po_number(entry: WorkspaceEntry, workspace_id: UUID, journal: Journal) -> None:
    before = workspaces.po_number(workspace_id) or ""
    if before != entry.po_number:
        journal.did(f"update workspace {entry.name}", difference("po_number", before or None, entry.po_number or None))
        workspaces.set_po_number(workspace_id, entry.po_number)


def _save_application(  # noqa: PLR0913 - one step deeper than the others
    workspace_id: UUID,
    place: WorkspaceEntry,
    entry: ApplicationEntry,
    tenant: Tenant | None,
    journal: Journal,
    *,
    now: datetime,
) -> None:
    path = f"{place.name}/{entry.name}"
    before = tenant.applications.get(entry.name) if tenant else None
    if before is None:
        journal.did(f"create application {path}")
        application_id = applications.create(workspace_id, entry.name, cost_centre=entry.cost_centre, managed_by=FILE)
    else:
        application_id = before.application_id
        if before.archived_at:
            journal.did(f"revive application {path}")
            applications.revive(workspace_id, application_id)
        if before.cost_centre != entry.cost_centre:
            change = difference("cost_centre", before.cost_centre, entry.cost_centre)
            journal.did(f"update application {path}", change)
            applications.update(workspace_id, application_id, cost_centre=entry.cost_centre)
    for key in entry.keys:
        found = tenant.keys.get((entry.name, key.name)) if tenant else None
        if found is None:
            _create_key(workspace_id, application_id, key, journal, now=now)
        else:
            _update_key(workspace_id, found, key, journal, now=now)


def _create_key(workspace_id: UUID, application_id: UUID, entry: KeyEntry, journal: Journal, *, now: datetime) -> None:
    if entry.secret:
        _free(entry.secret)
    new = keys.create(
        workspace_id,
        application_id,
        entry.name,
        models=list(entry.models),
        secret=entry.secret,
        limits=entry.limits,
        expires_at=entry.expires_at,
        managed_by=FILE,
    )
    if not entry.active:
        keys.revoke(workspace_id, new.key_id, now=now)
    journal.did(f"create key {entry.path}" + ("" if entry.active else " (revoked)"))
    if entry.secret is None:
        journal.secrets.append((entry.path, new.secret))


def _update_key(workspace_id: UUID, before: Key, entry: KeyEntry, journal: Journal, *, now: datetime) -> None:
    change = KeyChange(models=list(entry.models), limits=entry.limits, expires_at=entry.expires_at)
    found = difference("models", list(before.models), list(entry.models))
    found += _limit_differences(before.limits, entry.limits)
    found += difference("expires_at", before.expires_at, entry.expires_at)
    if found:
        keys.update(workspace_id, before.key_id, **change)
    found += _change_secret(workspace_id, before, entry, journal)
    journal.did(f"update key {entry.path}", found)
    if entry.active and before.state == "revoked":
        journal.did(f"reinstate key {entry.path}")
        keys.reinstate(workspace_id, before.key_id)
    if not entry.active and before.state == "active":
        journal.did(f"revoke key {entry.path}")
        keys.revoke(workspace_id, before.key_id, now=now)


def _change_secret(workspace_id: UUID, before: Key, entry: KeyEntry, journal: Journal) -> list[str]:
    """Change the secret when the file has another one, or when the key lost its own to another key."""
    if entry.secret:
        if keys.owner_of(entry.secret) == (workspace_id, before.key_id):
            return []
        _free(entry.secret)
    elif not entry.active or keys.has_secret(workspace_id, before.key_id):
        return []
    new = keys.replace_secret(workspace_id, before.key_id, entry.secret)
    if entry.secret is None:
        journal.secrets.append((entry.path, new.secret))
    return ["secret changed"]


def _free(secret: str) -> None:
    """Take a secret from the key that had it and is gone from the file: a renamed key keeps its secret."""
    owner = keys.owner_of(secret)
    if owner:
        keys.release_secret(*owner)


def _limit_differences(before: Limits, after: Limits) -> list[str]:
    found: list[str] = []
    for name in ("requests_per_min", "tokens_per_min", "parallel", "budget_usd", "budget_period"):
        found += difference(name, getattr(before, name), getattr(after, name))
    return found
