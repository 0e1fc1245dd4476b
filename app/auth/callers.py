"""Who is calling the proxy: API keys in process memory, looked up by hash; tokens by what they name.

Filled from `keys_since(revision)`; a key that was revoked, archived or let expire is gone here
within a second of the change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

from app.auth.workloads import Token, Trust
from app.networks import Networks
from app.units import bucket_of, bucket_tag

PROXY = "proxy"
MANAGEMENT = "management"
WORKLOAD = "workload"
Name = tuple[Trust, str, str]
"""Whose tokens, which claim and its value: what stands for a key of kind 'workload'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """A budget that is used up, and what it does to calls until its period ends. `model_id` None: to all of them."""

    name: str
    scope: str
    model_id: UUID | None
    downgrade_to: str | None
    """The model that calls go to instead; None: they are refused."""
    limit_usd: Decimal
    spent_usd: Decimal
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One API key and what it may do. `models` None means every model; `expires_at` is Unix seconds."""

    workspace_id: UUID
    application_id: UUID | None
    key_id: UUID
    kind: str
    models: frozenset[str] | None
    requests_per_min: int | None
    expires_at: float | None
    timezone: str
    networks: Networks | None
    """Where the workspace's keys may be used from; None: anywhere."""
    tag: str
    shown: Mapping[str, str]
    """The ids as text, for the log."""
    acting: tuple[Acting, ...] = ()
    """The budgets that are used up."""

    def may_use(self, alias: str) -> bool:
        """Tell whether the key's list holds a model. Exact names only."""
        return self.models is None or alias in self.models


class Callers:
    """Every active key by the hash of its secret. Changed only by the refresher, in one step a key."""

    def __init__(self) -> None:
        self._by_hash: dict[bytes, tuple[Caller, float | None]] = {}
        self._hashes: dict[UUID, tuple[bytes, ...]] = {}
        self._names: dict[UUID, tuple[Name, Caller]] = {}
        self._by_name: dict[Name, list[Caller]] = {}
        self._by_issuer: dict[str, dict[Trust, None]] = {}

    def __len__(self) -> int:
        """The number of active keys."""
        return len(self._hashes)

    def find(self, key_hash: bytes, now: float) -> Caller | None:
        """Find an active key; `now` in Unix seconds. None: unknown, revoked or expired."""
        found = self._by_hash.get(key_hash)
        if found is None:
            return None
        caller, valid_until = found
        if valid_until is not None and now >= valid_until:
            return None
        return None if caller.expires_at is not None and now >= caller.expires_at else caller

    def past(self, key_hash: bytes) -> Caller | None:
        """Find whose a key is or was until it expired. None: it is unknown, or was revoked."""
        found = self._by_hash.get(key_hash)
        return found[0] if found else None

    def trusts(self, issuer: str) -> Iterable[Trust]:
        """List whose tokens are accepted of those that name this issuer."""
        return self._by_issuer.get(issuer, ())

    def named_by(self, token: Token, now: float) -> list[Caller]:
        """List the active keys for which a token stands; `now` in Unix seconds."""
        found: list[Caller] = []
        for trust in self.trusts(token.issuer):
            if trust.discovery == token.discovery and trust.audiences & token.audiences:
                for claim, value in token.names:
                    found += self._by_name.get((trust, claim, value), ())
        return [one for one in found if one.expires_at is None or now < one.expires_at]

    def update(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take the rows of `keys_since`: set the active keys, forget the others.

        All are forgotten before any is set: within one change a secret may move from key to key.
        """
        changed = list(rows)
        for row in changed:
            self._names.pop(row["key_id"], None)
            for old in self._hashes.pop(row["key_id"], ()):
                self._by_hash.pop(old, None)
        for row in changed:
            if row["active"]:
                self._add(row)
        if any(row["kind"] == WORKLOAD for row in changed):
            self._index_names()

    def _add(self, row: Mapping[str, Any]) -> None:
        caller = _caller(row)
        secrets = {bytes.fromhex(secret["hash"]): _seconds(secret["valid_until"]) for secret in row["secrets"]}
        self._hashes[caller.key_id] = tuple(secrets)
        for key_hash, valid_until in secrets.items():
            self._by_hash[key_hash] = (caller, valid_until)
        if row["kind"] == WORKLOAD and row["token_kind"] and row["token_audience"]:
            self._names[caller.key_id] = (_name(row), caller)

    def _index_names(self) -> None:
        """Make both indexes anew: such keys are few, and change seldom."""
        by_name: dict[Name, list[Caller]] = {}
        by_issuer: dict[str, dict[Trust, None]] = {}
        for name, caller in self._names.values():
            by_name.setdefault(name, []).append(caller)
            for issuer in name[0].issuers:
                by_issuer.setdefault(issuer, {})[name[0]] = None
        self._by_name, self._by_issuer = by_name, by_issuer


def _caller(row: Mapping[str, Any]) -> Caller:
    models = row["models"]
    return Caller(
        workspace_id=row["workspace_id"],
        application_id=row["application_id"],
        key_id=row["key_id"],
        kind=row["kind"],
        models=None if "*" in models else frozenset(models),
        requests_per_min=row["limit_requests_per_min"],
        expires_at=row["expires_at"].timestamp() if row["expires_at"] else None,
        timezone=row["timezone"],
        networks=Networks.of(row["networks"]) or None,
        tag=bucket_tag(bucket_of(row["workspace_id"])),
        shown=MappingProxyType({"workspace": str(row["workspace_id"]), "key": str(row["key_id"])}),
        acting=tuple(_acting(one) for one in row.get("acting") or ()),
    )


def _acting(one: Mapping[str, Any]) -> Acting:
    return Acting(
        name=one["name"],
        scope=one["scope"],
        model_id=UUID(one["model_id"]) if one["model_id"] else None,
        downgrade_to=one["downgrade_to"],
        limit_usd=Decimal(one["limit"]),
        spent_usd=Decimal(one["spent"]),
        until=datetime.fromisoformat(one["until"]) if one["until"] else None,
    )


def _name(row: Mapping[str, Any]) -> Name:
    trust = Trust(row["token_kind"], row["token_authority"], row["token_tenant"], row["token_audience"])
    return trust, row["token_claim"], row["token_value"]


def _seconds(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
