"""Adjustments: what a workspace's list prices are multiplied by, and since when. Contracts are not touched by them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.orm import Session

from app.extensions import transaction
from app.logging import audit
from app.model import price_book, timeline
from app.model.tables import PriceAdjustmentRow
from app.units import PLATFORM_ID, new_id
from app.workspace import revisions
from app.workspace.names import Invalid

DECIMALS = 6
LARGEST = Decimal(100)
LONGEST_NOTE = 500
NONE = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A factor from `since` on: 0.9 takes a tenth off, 1.15 adds 15 %. `note` is for people."""

    factor: Decimal
    since: datetime
    note: str = ""
    by: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the history. `since` and `until` None are open; `replaced`: it counts never again."""

    adjustment_id: UUID
    factor: Decimal
    since: datetime | None
    until: datetime | None
    replaced: bool
    note: str
    created_at: datetime

    def counts_at(self, instant: datetime) -> bool:
        """Tell whether the factor counts at an instant."""
        began = self.since is None or self.since <= instant
        return not self.replaced and began and (self.until is None or instant < self.until)


def set_factor(workspace_id: UUID, wanted: Wanted, *, open_since: datetime | None) -> bool:
    """Bill a workspace by a factor from an instant on, until the next change; tell whether that changed anything.

    `open_since` is the start of the oldest open month: nothing before it may change. Raises `Invalid`.
    """
    check(workspace_id, wanted)
    if open_since is not None and wanted.since < open_since:
        raise Invalid("since", "lies in a month that is closed; choose a time in an open one")
    with price_book.held(workspace_id) as session:
        rows = _rows(session, workspace_id)
        before = timeline.counting_at(rows, wanted.since)
        if (before.factor if before else NONE) == wanted.factor:
            return False
        until = timeline.make_room(rows, wanted.since)
        session.flush()
        row = PriceAdjustmentRow(workspace_id=workspace_id, adjustment_id=new_id(), factor=wanted.factor)
        row.valid, row.note, row.created_by = Range(wanted.since, until), wanted.note or None, wanted.by
        session.add(row)
        revisions.bump_catalogue()
        audit.record(
            "adjustment.update",
            kind="adjustment",
            id=row.adjustment_id,
            name=wanted.note[:80],
            before={"factor": before.factor if before else NONE},
            after={"factor": wanted.factor, "since": wanted.since, "until": until, "note": wanted.note},
        )
        return True


def check(workspace_id: UUID, wanted: Wanted) -> None:
    """Raise `Invalid` for an adjustment that cannot be stored."""
    if workspace_id == PLATFORM_ID:
        raise Invalid("factor", "is for workspaces; the platform itself is billed nothing")
    if not wanted.factor.is_finite() or not 0 <= wanted.factor <= LARGEST:
        raise Invalid("factor", f"must be from 0 to {LARGEST}")
    if wanted.factor != round(wanted.factor, DECIMALS):
        raise Invalid("factor", f"has more than {DECIMALS} decimals")
    if len(wanted.note) > LONGEST_NOTE or "\0" in wanted.note:
        raise Invalid("note", f"has at most {LONGEST_NOTE} characters")


def history(workspace_id: UUID) -> list[Entry]:
    """List a workspace's adjustments, the newest start first."""
    statement = (
        select(PriceAdjustmentRow)
        .where(PriceAdjustmentRow.workspace_id == workspace_id)
        .order_by(func.lower(PriceAdjustmentRow.valid).desc().nulls_last(), PriceAdjustmentRow.created_at.desc())
    )
    with transaction(workspace_id) as session:
        return [_entry(row) for row in session.scalars(statement)]


def _rows(session: Session, workspace_id: UUID) -> list[PriceAdjustmentRow]:
    statement = select(PriceAdjustmentRow).where(
        PriceAdjustmentRow.workspace_id == workspace_id, ~func.isempty(PriceAdjustmentRow.valid)
    )
    return list(session.scalars(statement))


def _entry(row: PriceAdjustmentRow) -> Entry:
    return Entry(
        adjustment_id=row.adjustment_id,
        factor=row.factor,
        since=row.valid.lower,
        until=row.valid.upper,
        replaced=row.valid.isempty,
        note=row.note or "",
        created_at=row.created_at,
    )
