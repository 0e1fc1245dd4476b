"""Watches budgets: gives each alert once in a period, and has used-up budgets act.

A part of the worker's turn. It reads the same figures as the pages, so an alert, a refusal and the
Usage page never disagree. Which budgets to look at is told by the ledger's cursors: a bucket whose
cursor has not moved has no new usage.
"""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.billing import budget_messages
from app.billing.budget_sums import standings
from app.billing.tables import IngestCursorRow
from app.units import bucket_of
from app.workspace import budget_states, budgets, deliveries
from app.workspace.budget_states import Watched

LOOK_AT_ALL_EVERY = timedelta(minutes=1)
"""How often budgets without new usage are looked at too: prices change, and months are rated anew."""
LIMIT_S = 1.0
"""After this a turn ends; the workspaces that are left come first in the next one."""


@dataclass(slots=True)
class Watch:
    """What the worker remembers between two turns; it loses nothing by forgetting it."""

    public_url: str = ""
    cursors: dict[int, datetime] = field(default_factory=dict)
    looked_at_all: datetime | None = None
    waiting: dict[UUID, None] = field(default_factory=dict)
    """The workspaces to look at, in this order."""


@dataclass(slots=True)
class Outcome:
    """What one turn did."""

    looked_at: int = 0
    fired: int = 0
    acting: int = 0
    """How many budgets block or downgrade calls after it; of those that were looked at."""


def turn(session: Session, watch: Watch, now: datetime, *, limit_s: float = LIMIT_S) -> Outcome:
    """Look at the budgets that may have changed, in one transaction for each workspace.

    Who was looked at goes to the end of the line, and so does a workspace that fails: the error is
    raised, and the others' turn comes all the same.
    """
    ends_s = time.monotonic() + limit_s
    known = _wait_in_line(session, watch, now)
    outcome = Outcome()
    while watch.waiting and not (outcome.looked_at and time.monotonic() >= ends_s):
        workspace_id = next(iter(watch.waiting))
        del watch.waiting[workspace_id]
        if workspace_id in known:
            _look_or_wait(session, watch, known[workspace_id], now, outcome)
    return outcome


_CURSORS = select(IngestCursorRow.bucket, IngestCursorRow.updated_at)


def _wait_in_line(session: Session, watch: Watch, now: datetime) -> dict[UUID, Watched]:
    """Put the workspaces in line whose budgets may have changed; give back all that have budgets."""
    cursors = {row.bucket: row.updated_at for row in session.execute(_CURSORS)}
    moved = {bucket for bucket, at in cursors.items() if watch.cursors.get(bucket) != at}
    every = watch.looked_at_all is None or now - watch.looked_at_all >= LOOK_AT_ALL_EVERY
    known = {one.workspace_id: one for one in budget_states.watched(session, now)}
    session.rollback()
    for workspace_id, one in known.items():
        if every or one.is_due or bucket_of(workspace_id) in moved:
            watch.waiting.setdefault(workspace_id)
    watch.cursors = cursors
    watch.looked_at_all = now if every else watch.looked_at_all
    return known


def _look_or_wait(session: Session, watch: Watch, workspace: Watched, now: datetime, outcome: Outcome) -> None:
    try:
        _look(session, workspace, now, watch.public_url, outcome)
        session.commit()
    except BaseException:
        watch.waiting[workspace.workspace_id] = None
        raise


def _look(session: Session, workspace: Watched, now: datetime, public_url: str, outcome: Outcome) -> None:
    """Look at the budgets of one workspace."""
    workspace_id = workspace.workspace_id
    rows = budget_states.locked(session, workspace_id)
    found = standings(session, workspace_id, [budgets.value(row) for row in rows], now, workspace.timezone)
    fired = budget_states.fire(session, workspace_id, found)
    messages = [budget_messages.message(workspace, one, threshold, public_url) for one, threshold in fired]
    deliveries.announce(session, workspace_id, messages)
    budget_states.note(session, rows, found, now)
    outcome.looked_at += len(found)
    outcome.fired += len(fired)
    outcome.acting += sum(one.acts for one in found)
