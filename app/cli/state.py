"""What is there before a file is applied: read once, by name."""

from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from app.application import applications, keys
from app.application.applications import Application
from app.application.keys import Key
from app.cli.entries import Config
from app.model import models, price_book
from app.model.models import Model
from app.model.price_book import Slot
from app.provider import providers
from app.provider.providers import Provider
from app.units import PLATFORM_ID
from app.workspace import workspaces
from app.workspace.workspaces import Workspace

FILE = "file"
"""Marks the rows that a file owns: `apply` changes and prunes only those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A workspace with its applications by name and its keys by application and name."""

    workspace: Workspace
    applications: dict[str, Application]
    keys: dict[tuple[str, str], Key]

    def path(self, application: str = "", key: str = "") -> str:
        """Name one of its things as people read it: workspace/application/key."""
        return "/".join(part for part in (self.workspace.name, application, key) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The platform's catalogue, and every tenant that a file owns or names."""

    providers: dict[str, Provider]
    models: dict[str, Model]
    prices: dict[UUID, dict[Slot, dict[str, Decimal]]]
    tenants: dict[str, Tenant] = field(default_factory=dict)


def read(config: Config) -> State:
    """Read what the file may touch; runs inside the transaction that applies it."""
    named = {entry.name for entry in config.workspaces}
    found = [place for place in workspaces.all_of_platform() if place.managed_by == FILE or place.name in named]
    return State(
        providers={provider.name: provider for provider in providers.all_of(PLATFORM_ID)},
        models={model.name: model for model in models.all_of(PLATFORM_ID)},
        prices=price_book.current_tiers(PLATFORM_ID),
        tenants={workspace.name: tenant(workspace) for workspace in found},
    )


def tenant(workspace: Workspace) -> Tenant:
    """Read one workspace."""
    inside = applications.all_of(workspace.workspace_id)
    by_id = {application.application_id: application.name for application in inside}
    return Tenant(
        workspace=workspace,
        applications={application.name: application for application in inside},
        keys={
            (by_id[key.application_id], key.name): key
            for key in keys.all_of(workspace.workspace_id)
            if key.application_id
        },
    )
