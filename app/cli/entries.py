"""What a configuration file asks for, as values. Each entry knows its line."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from app.application.limits import Limits
from app.cli.yaml_fields import Problem
from app.model.price_book import STANDARD_LIST, Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEntry:
    """An upstream account as the file wants it; `api_key` is empty where none is wanted."""

    line: int
    name: str
    kind: str
    base_url: str
    api_key: str = field(repr=False)
    timeouts: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentEntry:
    """An upstream model, at a provider by its name."""

    line: int
    provider: str
    model: str
    weight: int
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """An alias; `price` is dollars per million tokens by meter, empty for an unpriced model.

    `tiers` has the prices of other service tiers and longer contexts.
    """

    line: int
    name: str
    deployments: tuple[DeploymentEntry, ...]
    price: dict[str, Decimal]
    tiers: dict[Slot, dict[str, Decimal]] = field(default_factory=dict)

    @property
    def every_price(self) -> dict[Slot, dict[str, Decimal]]:
        """All its list prices by slot; those of the standard tier as well when there are none."""
        return {STANDARD_LIST: self.price, **self.tiers}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """An API key; `secret` None is one that we make. `place` is workspace, application and key."""

    line: int
    place: tuple[str, str, str]
    name: str
    secret: str | None = field(repr=False)
    models: tuple[str, ...]
    active: bool
    limits: Limits
    expires_at: datetime | None

    @property
    def path(self) -> str:
        """Its place as people read it."""
        return "/".join(self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationEntry:
    """An application with its keys."""

    line: int
    name: str
    cost_centre: str | None
    keys: tuple[KeyEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceEntry:
    """A workspace with its applications. `po_number` None: the file leaves it to the console; empty: there is none."""

    line: int
    name: str
    timezone: str
    po_number: str | None
    applications: tuple[ApplicationEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole file. `problems` says what is wrong with it; nothing may be applied while there is one."""

    providers: tuple[ProviderEntry, ...]
    models: tuple[ModelEntry, ...]
    workspaces: tuple[WorkspaceEntry, ...]
    problems: tuple[Problem, ...] = ()

    def every_key(self) -> Iterator[KeyEntry]:
        """Every key of the file, in its order."""
        for workspace in self.workspaces:
            for application in workspace.applications:
                yield from application.keys


NamedEntry = ProviderEntry | ModelEntry | KeyEntry | ApplicationEntry | WorkspaceEntry
