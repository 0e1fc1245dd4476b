"""The catalogue as a process serves from it: immutable, in memory, no SQL.

Built from `catalogue_since(revision)`; a target holds all that a call needs of its deployment:
where to connect, the ready request head with the provider's secret in it, deadlines, prices.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from app.crypto import CannotOpen, Vault
from app.model.prices import Price
from app.model.rate_cards import Adjustment, Consumption, RateCard, price_from
from app.provider.adapters import ADAPTERS
from app.provider.families.openai_compatible import Adapter, endpoint
from app.units import PLATFORM_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long an upstream may take: to connect, to the first byte of the answer, between bytes, in all."""

    connect_s: float = 5.0
    first_byte_s: float = 300.0
    idle_s: float = 60.0
    total_s: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an upstream listens. `host` is what certificates are checked against."""

    host: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A deployment that an attempt can go to. `head` is the request up to its length; None: no usable secret."""

    deployment_id: UUID
    provider: str
    adapter: Adapter
    model: str
    weight: int
    priority: int
    address: Address
    head: bytes | None = field(repr=False)
    deadlines: Deadlines


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A model as clients ask for it."""

    model_id: UUID
    name: str
    targets: tuple[Target, ...]
    rates: RateCard
    created: int

    def is_free_for(self, workspace_id: UUID, instant: datetime) -> bool:
        """Tell whether a workspace's calls cost nothing at any target: all have prices, and all are 0."""
        return all(
            self.rates.is_free(Consumption(workspace_id, self.model_id, target.deployment_id, instant, {}))
            for target in self.targets
        )

    def in_order(self) -> list[Target]:
        """Draw the order in which targets are tried: by priority, by chance within one, by weight."""
        if len(self.targets) == 1:
            return list(self.targets)
        order: list[Target] = []
        for _, group in groupby(self.targets, key=lambda target: target.priority):
            order += _drawn(list(group))
        return order


class Catalogue:
    """Every alias of the platform and of the workspaces, by owner and name."""

    def __init__(self, aliases: Mapping[UUID, Mapping[str, Alias]]) -> None:
        self._aliases = aliases

    def find(self, workspace_id: UUID, name: str) -> Alias | None:
        """Find an alias that is served: the workspace's own wins over the platform's, also when it is switched off."""
        own = self._aliases.get(workspace_id)
        found = own[name] if own is not None and name in own else self._aliases.get(PLATFORM_ID, {}).get(name)
        return found if found is not None and found.targets else None

    def all_of(self, workspace_id: UUID) -> list[Alias]:
        """List what a workspace can see and call, by name."""
        seen = {**self._aliases.get(PLATFORM_ID, {}), **self._aliases.get(workspace_id, {})}
        return [alias for _, alias in sorted(seen.items()) if alias.targets]


EMPTY = Catalogue({})


def build(rows: Iterable[Mapping[str, Any]], vault: Vault, adjustments: Iterable[Mapping[str, Any]] = ()) -> Catalogue:
    """Build the catalogue from the rows of `catalogue_since`, one for each deployment, and of `adjustments_since`."""
    factors = [_adjustment(row) for row in adjustments]
    by_model: dict[tuple[UUID, UUID], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_model.setdefault((row["workspace_id"], row["model_id"]), []).append(row)
    aliases: dict[UUID, dict[str, Alias]] = {}
    for (workspace_id, _), group in by_model.items():
        alias = _alias(group, vault, factors)
        aliases.setdefault(workspace_id, {})[alias.name] = alias
    return Catalogue(aliases)


def _adjustment(row: Mapping[str, Any]) -> tuple[UUID, Adjustment]:
    found = Adjustment(adjustment_id=row["adjustment_id"], factor=row["factor"], start=row["from"], end=row["to"])
    return row["workspace_id"], found


def _alias(rows: list[Mapping[str, Any]], vault: Vault, factors: Iterable[tuple[UUID, Adjustment]]) -> Alias:
    targets = [
        _target(row, vault) for row in rows if row["deployment_id"] and row["weight"] > 0 and row["kind"] in ADAPTERS
    ]
    prices: dict[str, tuple[UUID, Price]] = {
        price["price_id"]: (UUID(price["workspace_id"]), price_from(price)) for row in rows for price in row["prices"]
    }
    return Alias(
        model_id=rows[0]["model_id"],
        name=rows[0]["name"],
        targets=tuple(sorted(targets, key=lambda target: target.priority)),
        rates=RateCard(prices.values(), factors),
        created=int(rows[0]["model_id"].int >> 80) // 1000,
    )


def _target(row: Mapping[str, Any], vault: Vault) -> Target:
    adapter = ADAPTERS[row["kind"]]
    url = urlsplit(endpoint(row["base_url"], adapter.chat_path))
    tls = url.scheme == "https"
    address = Address(host=url.hostname or "", port=url.port or (443 if tls else 80), tls=tls)
    path = url.path + (f"?{url.query}" if url.query else "")
    return Target(
        deployment_id=row["deployment_id"],
        provider=row["provider"],
        adapter=adapter,
        model=row["upstream_model"],
        weight=row["weight"],
        priority=row["priority"],
        address=address,
        head=_head(row, adapter, path, url.netloc, vault),
        deadlines=Deadlines(**row["timeouts"]),
    )


def _head(row: Mapping[str, Any], adapter: Adapter, path: str, host: str, vault: Vault) -> bytes | None:
    """Write the request head once. These are all the headers an upstream ever gets from us."""
    try:
        secret = vault.open(row["sealed"], row["provider_id"].bytes) if row["sealed"] else ""
    except CannotOpen:
        return None
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", "Accept-Encoding: identity"]
    lines += ["Accept: application/json, text/event-stream", "User-Agent: llm-gateway"]
    lines += [f"{name}: {value}" for name, value in adapter.headers(secret).items()]
    return ("\r\n".join(lines) + "\r\nContent-Length: ").encode("ascii")


def _drawn(group: list[Target]) -> list[Target]:
    """Order targets of one priority by weighted chance."""
    return sorted(group, key=lambda target: random.random() ** (1 / target.weight), reverse=True)  # noqa: S311 - load, not secrets
