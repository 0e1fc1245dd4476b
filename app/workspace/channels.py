"""Channels: where a workspace is told of what happens. E-mail, a signed webhook, Slack, Teams.

What is secret is sealed: the key of a webhook's signatures, and the whole address of Slack and Teams,
since whoever has that address can post. Of those only the host and the end are shown.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.crypto import Resealing
from app.extensions import transaction, vault
from app.logging import audit
from app.units import new_id
from app.workspace import channel_targets as targets
from app.workspace import deliveries, names, twins
from app.workspace.channel_tables import ChannelRow
from app.workspace.deliveries import Message
from app.workspace.names import Invalid, NotFound

KINDS = ("email", "webhook", "slack", "teams")
EVENTS = ("budget",)
"""What channels can be told of."""
SIGNING_BEGINNING = "whsec_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel. `target` is what is shown: addresses, a webhook's URL, or where a secret one leads."""

    channel_id: UUID
    name: str
    kind: str
    target: str
    events: tuple[str, ...]
    enabled: bool
    created_at: datetime

    @property
    def is_target_secret(self) -> bool:
        """Whether `target` shows only the ends of what is kept."""
        return self.kind in {"slack", "teams"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a channel is to be. An empty `target` leaves a secret one as it is."""

    name: str
    target: str
    events: tuple[str, ...]
    enabled: bool = True


def create(workspace_id: UUID, kind: str, wish: Wish, *, channel_id: UUID, by: UUID | None) -> str | None:
    """Create a channel; give back a webhook's secret, which is in this answer only. One that has the id stays as it is."""
    _check(kind, wish)
    target = targets.read(kind, wish.target)
    with transaction(workspace_id) as session, names.unique("a channel", wish.name):
        twins.wait(session, channel_id)
        if session.get(ChannelRow, (workspace_id, channel_id)):
            return None
        row = ChannelRow(workspace_id=workspace_id, channel_id=channel_id, kind=kind, created_by=by)
        secret = _aim(row, target)
        _set(row, wish)
        session.add(row)
        session.flush()
        audit.record("channel.create", kind="channel", id=channel_id, name=row.name, after={"kind": kind} | _shown(row))
        return secret


def edit(workspace_id: UUID, channel_id: UUID, wish: Wish) -> None:
    """Change a channel; a webhook keeps its secret."""
    with transaction(workspace_id) as session, names.unique("a channel", wish.name):
        row = _row(session, workspace_id, channel_id)
        _check(row.kind, wish)
        before, was = _shown(row), (row.target, row.sealed_secret)
        if wish.target or not value(row).is_target_secret:
            _aim(row, targets.read(row.kind, wish.target))
        _set(row, wish)
        session.flush()
        after = _shown(row) | ({"address": "changed"} if (row.target, row.sealed_secret) != was else {})
        audit.record("channel.update", kind="channel", id=channel_id, name=row.name, before=before, after=after)


def renew_secret(workspace_id: UUID, channel_id: UUID) -> str:
    """Give a webhook a new secret; it signs from the next delivery on. It is in this answer only."""
    with transaction(workspace_id) as session:
        row = _row(session, workspace_id, channel_id)
        if row.kind != "webhook":
            raise NotFound("only webhooks have a secret")
        secret = _new_secret(row)
        audit.record("channel.renew_secret", kind="channel", id=channel_id, name=row.name, after={"secret": "changed"})
        return secret


def remove(workspace_id: UUID, channel_id: UUID) -> None:
    """Take a channel away, with its deliveries."""
    with transaction(workspace_id) as session:
        row = _row(session, workspace_id, channel_id)
        session.delete(row)
        audit.record("channel.delete", kind="channel", id=channel_id, name=row.name, before=_shown(row))


def test(workspace_id: UUID, channel_id: UUID) -> None:
    """Send a message that says that the channel works; raise `Invalid` while it is switched off."""
    with transaction(workspace_id) as session:
        row = _row(session, workspace_id, channel_id)
        if not row.enabled:
            raise Invalid("enabled", "must be on for a test")
        text = f"This is a test of the channel {row.name}. Nothing has happened."
        message = Message(event=deliveries.TEST, about=str(new_id()), title="Test message", text=text)
        deliveries.announce(session, workspace_id, [message], only=channel_id)
        audit.record("channel.test", kind="channel", id=channel_id, name=row.name)


def get(workspace_id: UUID, channel_id: UUID) -> Channel:
    """Read a channel; raise `NotFound`."""
    with transaction(workspace_id) as session:
        return value(_row(session, workspace_id, channel_id))


def all_of(workspace_id: UUID) -> list[Channel]:
    """List the channels by name."""
    statement = select(ChannelRow).where(ChannelRow.workspace_id == workspace_id).order_by(ChannelRow.name)
    with transaction(workspace_id) as session:
        return [value(row) for row in session.scalars(statement)]


def reseal(workspace_id: UUID) -> Resealing:
    """Seal the channels' secrets with the newest SECRET_KEY."""
    tally = Resealing()
    mine = (ChannelRow.workspace_id == workspace_id, ChannelRow.sealed_secret.is_not(None))
    with transaction(workspace_id) as session:
        for row in session.scalars(select(ChannelRow).where(*mine).order_by(ChannelRow.name).with_for_update()):
            row.sealed_secret = tally.renewed(vault(), row.sealed_secret or b"", f"channel {row.name}")
        if tally.done:
            count = {"count": tally.done}
            audit.record("secrets.reseal", kind="secrets", id=workspace_id, name="channels", after=count)
    return tally


def value(row: ChannelRow) -> Channel:
    """Make a channel of its row."""
    return Channel(
        channel_id=row.channel_id,
        name=row.name,
        kind=row.kind,
        target=row.target,
        events=tuple(row.events),
        enabled=row.enabled,
        created_at=row.created_at,
    )


def _check(kind: str, wish: Wish) -> None:
    names.check("name", wish.name)
    if kind not in KINDS:
        raise Invalid("kind", "is no kind of channel")
    if not wish.events or not set(wish.events) <= set(EVENTS):
        raise Invalid("events", "must be at least one of those that are offered")


def _aim(row: ChannelRow, target: str) -> str | None:
    """Point a channel somewhere; a webhook without a secret is given one, which is returned."""
    if row.kind in {"slack", "teams"}:
        row.sealed_secret = vault().seal(target, row.channel_id.bytes)
        row.target = targets.ends_of(target)
        return None
    row.target = target
    return _new_secret(row) if row.kind == "webhook" and row.sealed_secret is None else None


def _new_secret(row: ChannelRow) -> str:
    secret = SIGNING_BEGINNING + secrets.token_urlsafe(32)
    row.sealed_secret = vault().seal(secret, row.channel_id.bytes)
    return secret


def _set(row: ChannelRow, wish: Wish) -> None:
    row.name, row.events, row.enabled = wish.name, list(wish.events), wish.enabled


def _shown(row: ChannelRow) -> dict[str, Any]:
    """What the audit trail tells of a channel."""
    target = targets.without_query(row.target)
    return {"name": row.name, "target": target, "events": list(row.events), "enabled": row.enabled}


def _row(session: Session, workspace_id: UUID, channel_id: UUID) -> ChannelRow:
    row = session.get(ChannelRow, (workspace_id, channel_id), with_for_update=True)
    if row is None:
        raise NotFound(f"there is no channel {channel_id}")
    return row
