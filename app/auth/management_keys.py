"""Management keys: what a program shows at /api/v1. A workspace's key reaches that workspace, the platform's reaches all."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.application import keys
from app.application.keys import Key
from app.auth.callers import MANAGEMENT
from app.networks import Networks
from app.units import PLATFORM_ID
from app.workspace import workspaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A management key that works. `networks`: where it may be used from; none: anywhere."""

    workspace_id: UUID
    key_id: UUID
    name: str
    last4: str
    networks: Networks

    @property
    def is_platforms(self) -> bool:
        """Whether it reaches every workspace."""
        return self.workspace_id == PLATFORM_ID


class OtherKind(Exception):
    """The key works, but is made for calls to models."""


def find(secret: str, *, now: datetime) -> Holder | None:
    """Find the key that a secret opens. None: unknown, revoked, suspended, expired, or its workspace is archived.

    Raises `OtherKind` for a working key that is no management key.
    """
    place = keys.owner_of(secret, at=now) if secret else None
    if place is None:
        return None
    workspace_id, key_id = place
    key, workspace = keys.get(workspace_id, key_id), workspaces.get(workspace_id)
    if not _works(key, now) or workspace.archived_at is not None:
        return None
    if key.kind != MANAGEMENT:
        raise OtherKind
    return Holder(workspace_id=workspace_id, key_id=key_id, name=key.name, last4=key.last4, networks=workspace.networks)


def _works(key: Key, now: datetime) -> bool:
    expired = key.expires_at is not None and key.expires_at <= now
    return key.state == "active" and key.suspended_at is None and not expired
