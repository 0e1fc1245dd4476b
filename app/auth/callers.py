"""Who is calling the proxy: API keys in process memory, looked up by hash.

Filled from `keys_since(revision)`; a key that was revoked, archived or let expire is gone here
within a second of the change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from app.units import bucket_of, bucket_tag

PROXY = "proxy"
MANAGEMENT = "management"


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
    tag: str
    shown: Mapping[str, str]
    """The ids as text, for the log."""

    def may_use(self, alias: str) -> bool:
        """Tell whether the key's list holds a model. Exact names only."""
        return self.models is None or alias in self.models


class Callers:
    """Every active key by the hash of its secret. Changed only by the refresher, in one step a key."""

    def __init__(self) -> None:
        self._by_hash: dict[bytes, tuple[Caller, float | None]] = {}
        self._hashes: dict[UUID, tuple[bytes, ...]] = {}

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

    def update(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take the rows of `keys_since`: set the active keys, forget the others.

        All are forgotten before any is set: within one change a secret may move from key to key.
        """
        changed = list(rows)
        for row in changed:
            for old in self._hashes.pop(row["key_id"], ()):
                self._by_hash.pop(old, None)
        for row in changed:
            if row["active"]:
                self._add(row)

    def _add(self, row: Mapping[str, Any]) -> None:
        caller = _caller(row)
        secrets = {bytes.fromhex(secret["hash"]): _seconds(secret["valid_until"]) for secret in row["secrets"]}
        self._hashes[caller.key_id] = tuple(secrets)
        for key_hash, valid_until in secrets.items():
            self._by_hash[key_hash] = (caller, valid_until)


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
        tag=bucket_tag(bucket_of(row["workspace_id"])),
        shown=MappingProxyType({"workspace": str(row["workspace_id"]), "key": str(row["key_id"])}),
    )


def _seconds(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
