"""Channels of a workspace, what is announced to them, and their delivery log."""

from typing import Any
from uuid import UUID

from app.extensions import transaction
from app.units import new_id
from app.workspace import channels, deliveries
from app.workspace.channels import Wish
from app.workspace.deliveries import Message
from tests.factories import unique

TITLE, TEXT = "acme: budget <Search> has reached 80%", "$8.00 of $10.00 spent & counting."
LINK = "https://gateway.test/w/1/budgets/2"


def channel(workspace_id: UUID, kind: str, target: str, **changes: Any) -> tuple[UUID, str | None]:
    channel_id = new_id()
    wish = Wish(**{"name": unique("channel"), "target": target, "events": ("budget",)} | changes)
    return channel_id, channels.create(workspace_id, kind, wish, channel_id=channel_id, by=None)


def announce(workspace_id: UUID, *, about: str = "once", link: str | None = LINK) -> int:
    message = Message(event="budget", about=about, title=TITLE, text=TEXT, link=link, details={"threshold_percent": 80})
    with transaction(workspace_id) as session:
        return deliveries.announce(session, workspace_id, [message])


def log(workspace_id: UUID) -> list[tuple[str, int, str | None]]:
    return [(one.state, one.attempts, one.answer) for one in deliveries.page(workspace_id).items]
