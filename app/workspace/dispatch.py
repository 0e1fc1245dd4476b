"""Dispatch: which deliveries are due, who is trying them, and what came of it. The courier's side of the delivery log.

Each function works in the session it is given, which may touch every workspace.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from app.workspace.channel_tables import ChannelRow, DeliveryRow

RETRIES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720))
"""How long to wait after each attempt that failed; after the last the delivery has failed."""
LEASE = timedelta(minutes=2)
"""Longer than any attempt takes: one that was interrupted is made again."""
LONGEST_ANSWER = 200
KEPT = timedelta(days=90)
"""How long deliveries can be read after they arrived or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A delivery to be tried now, with what the attempt needs of its channel."""

    workspace_id: UUID
    delivery_id: UUID
    channel_id: UUID
    kind: str
    target: str
    sealed_secret: bytes | None
    payload: Mapping[str, Any]
    attempts: int
    created_at: datetime


def take(session: Session, now: datetime, *, most: int) -> list[Due]:
    """Take the deliveries that are due, of every workspace; nobody else gets them while their lease lasts."""
    statement = (
        select(DeliveryRow, ChannelRow)
        .join(ChannelRow, _OF_CHANNEL)
        .where(DeliveryRow.state == "waiting", DeliveryRow.next_at <= now, ChannelRow.enabled)
        .order_by(DeliveryRow.next_at)
        .limit(most)
        .with_for_update(of=DeliveryRow, skip_locked=True)
    )
    found = []
    for row, channel in session.execute(statement):
        row.next_at = now + LEASE
        found.append(_due(row, channel))
    session.commit()
    return found


def sent(session: Session, due: Due, answer: str, now: datetime) -> None:
    """Note that a delivery has arrived."""
    _note(session, due, state="sent", sent_at=now, answer=answer[:LONGEST_ANSWER])


def failed(session: Session, due: Due, answer: str, now: datetime, *, permanent: bool = False) -> bool:
    """Note that an attempt has failed; tell whether there will be another."""
    again = not permanent and due.attempts < len(RETRIES)
    wait = RETRIES[due.attempts] if again else timedelta(0)
    state = "waiting" if again else "failed"
    _note(session, due, state=state, next_at=now + wait, answer=answer[:LONGEST_ANSWER])
    return again


def backlog(session: Session) -> tuple[int, datetime | None]:
    """Count the deliveries that wait for channels that are on, and say since when the oldest does."""
    row = DeliveryRow
    waiting = select(func.count(), func.min(row.created_at)).join(ChannelRow, _OF_CHANNEL)
    count, oldest = session.execute(waiting.where(row.state == "waiting", ChannelRow.enabled)).one()
    return count, oldest


def forget(session: Session, now: datetime) -> None:
    """Delete deliveries of long ago: those that arrived or failed, and those whose channel was never on again."""
    row = DeliveryRow
    ended = or_(row.state != "waiting", row.next_at < now - KEPT)
    session.execute(delete(row).where(row.created_at < now - KEPT, ended))
    session.commit()


_OF_CHANNEL = and_(ChannelRow.workspace_id == DeliveryRow.workspace_id, ChannelRow.channel_id == DeliveryRow.channel_id)


def _note(session: Session, due: Due, **values: Any) -> None:
    """Note an attempt's end, unless its lease ran out and another has ended since."""
    row = DeliveryRow
    mine = (row.workspace_id == due.workspace_id, row.delivery_id == due.delivery_id)
    same = (row.state == "waiting", row.attempts == due.attempts)
    session.execute(update(row).where(*mine, *same).values(attempts=due.attempts + 1, **values))
    session.commit()


def _due(row: DeliveryRow, channel: ChannelRow) -> Due:
    return Due(
        workspace_id=row.workspace_id,
        delivery_id=row.delivery_id,
        channel_id=row.channel_id,
        kind=channel.kind,
        target=channel.target,
        sealed_secret=channel.sealed_secret,
        payload=row.payload,
        attempts=row.attempts,
        created_at=row.created_at,
    )
