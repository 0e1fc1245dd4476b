"""Deliveries: a message for each channel that wants to hear of an event, tried until it is there, and kept to be read.

A message is put here in the transaction of what it tells of, so neither is without the other.
Delivery is at least once: who receives it tells a second copy by the delivery's id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.extensions import transaction
from app.logging import audit
from app.units import new_id
from app.workspace import pages
from app.workspace.channel_tables import ChannelRow, DeliveryRow
from app.workspace.names import Invalid, NotFound

STATES = ("waiting", "sent", "failed")
TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is told, in words for people and, in `details`, for programs. `about` names the one thing that happened."""

    event: str
    about: str
    title: str
    text: str
    link: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message on its way to a channel. `channel` is the channel's name, `answer` what came back last."""

    delivery_id: UUID
    channel_id: UUID
    channel: str
    is_channel_on: bool
    event: str
    title: str
    state: str
    attempts: int
    next_at: datetime
    answer: str | None
    created_at: datetime
    sent_at: datetime | None


def announce(session: Session, workspace_id: UUID, messages: Sequence[Message], *, only: UUID | None = None) -> int:
    """Put messages on their way to the channels that want their events, or to one only; tell how many deliveries that made.

    The same thing is told to a channel once, however often it is announced.
    """
    if not messages:
        return 0
    row = ChannelRow
    wanted = row.channel_id == only if only else row.events.overlap({one.event for one in messages})
    statement = select(row.channel_id, row.events).where(row.workspace_id == workspace_id, row.enabled, wanted)
    channels = session.execute(statement).all()
    rows = [
        _new(workspace_id, channel_id, one)
        for one in messages
        for channel_id, events in channels
        if only or one.event in events
    ]
    if not rows:
        return 0
    new = insert(DeliveryRow).on_conflict_do_nothing().returning(DeliveryRow.delivery_id)
    return len(session.scalars(new, rows).all())


def page(
    workspace_id: UUID, *, state: str | None = None, channel_id: UUID | None = None, after: UUID | None = None
) -> pages.Page[Delivery]:
    """List a page of deliveries, the newest first."""
    statement = _mine(workspace_id).order_by(DeliveryRow.delivery_id.desc()).limit(pages.SIZE + 1)
    if state:
        statement = statement.where(DeliveryRow.state == state)
    if channel_id:
        statement = statement.where(DeliveryRow.channel_id == channel_id)
    if after:
        statement = statement.where(DeliveryRow.delivery_id < after)
    with transaction(workspace_id) as session:
        rows = [_value(row, channel) for row, channel in session.execute(statement)]
    return pages.cut(rows, lambda one: str(one.delivery_id))


def replay(workspace_id: UUID, delivery_id: UUID, *, now: datetime) -> None:
    """Send a delivery once more, that has arrived or failed; raise `NotFound`, or `Invalid` for one that waits anyway."""
    with transaction(workspace_id) as session:
        row = session.get(DeliveryRow, (workspace_id, delivery_id), with_for_update=True)
        if row is None:
            raise NotFound(f"there is no delivery {delivery_id}")
        if row.state == "waiting":
            raise Invalid("delivery", "is on its way already")
        before = row.state
        row.state, row.attempts, row.next_at, row.sent_at = "waiting", 0, now, None
        title = str(row.payload.get("title", ""))
        audit.record(
            "delivery.replay",
            kind="delivery",
            id=delivery_id,
            name=title,
            before={"state": before},
            after={"state": "waiting"},
        )


def _new(workspace_id: UUID, channel_id: UUID, message: Message) -> dict[str, Any]:
    payload = {
        "event": message.event,
        "title": message.title,
        "text": message.text,
        "link": message.link,
        "details": dict(message.details),
    }
    whose = {"workspace_id": workspace_id, "delivery_id": new_id(), "channel_id": channel_id}
    return whose | {"event": message.event, "about": message.about, "payload": payload}


def _mine(workspace_id: UUID) -> Any:
    joined = and_(ChannelRow.workspace_id == DeliveryRow.workspace_id, ChannelRow.channel_id == DeliveryRow.channel_id)
    return select(DeliveryRow, ChannelRow).join(ChannelRow, joined).where(DeliveryRow.workspace_id == workspace_id)


def _value(row: DeliveryRow, channel: ChannelRow) -> Delivery:
    return Delivery(
        delivery_id=row.delivery_id,
        channel_id=row.channel_id,
        channel=channel.name,
        is_channel_on=channel.enabled,
        event=row.event,
        title=str(row.payload.get("title", "")),
        state=row.state,
        attempts=row.attempts,
        next_at=row.next_at,
        answer=row.answer,
        created_at=row.created_at,
        sent_at=row.sent_at,
    )
