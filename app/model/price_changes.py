"""Changes of the price book from an instant on: any kind, service tier and context length; planned, now, or back-dated.

A change ends the row that counts then, and counts until that one would have ended. A row that it
replaces from its very beginning counts never again; it stays for the calls that it has rated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.orm import Session

from app.extensions import transaction
from app.logging import audit
from app.model import price_book, price_subjects, timeline
from app.model.price_book import STANDARD_LIST, Slot
from app.model.prices import CONTRACT, KINDS, SERVICE_TIERS
from app.model.tables import PriceRow
from app.units import PLATFORM_ID
from app.workspace import revisions
from app.workspace.names import Invalid

LONGEST_CONTEXT = 10**9
LONGEST_NOTE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """New prices of a subject by meter, from `since` on; None ends a meter's price.

    `since` None is now, and for all time where a meter has had no price yet. `seen` is the mark of the rows that it was
    decided by; empty: whatever they are.
    """

    subject_id: UUID
    prices: Mapping[str, Decimal | None]
    now: datetime
    since: datetime | None = None
    slot: Slot = STANDARD_LIST
    note: str = ""
    by: UUID | None = None
    seen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of a subject's history. `since` and `until` None are open; `replaced`: it counts never again."""

    price_id: UUID
    owner_id: UUID
    slot: Slot
    meter: str
    unit_price: Decimal
    since: datetime | None
    until: datetime | None
    replaced: bool
    note: str
    created_by: UUID | None
    created_at: datetime

    def counts_at(self, instant: datetime) -> bool:
        """Tell whether the row counts at an instant."""
        began = self.since is None or self.since <= instant
        return not self.replaced and began and (self.until is None or instant < self.until)


def change(workspace_id: UUID, wanted: Change, *, open_since: datetime | None) -> list[str]:
    """Change prices that `workspace_id` owns; answer the meters whose price is another from then on.

    `open_since` is the start of the oldest open month: nothing before it may change. Raises `Invalid`
    for what cannot be, `NotFound` for a subject that there is not, `price_book.Changed` when `seen` is of yesterday.
    """
    check(wanted)
    if open_since is not None and wanted.since is not None and wanted.since < open_since:
        raise Invalid("since", "lies in a month that is closed; choose a time in an open one")
    with price_book.held(workspace_id, wanted.subject_id, seen=wanted.seen) as session:
        subject = price_subjects.find(workspace_id, wanted.subject_id, shared=wanted.slot.kind == CONTRACT)
        rows = price_book.rows_of(session, workspace_id, wanted.subject_id, wanted.slot)
        changed = [meter for meter in wanted.prices if _place(session, workspace_id, wanted, meter, rows)]
        if changed:
            revisions.bump_catalogue()
            audit.record(
                "price.update", kind="price", id=wanted.subject_id, name=subject.name, after=_shown(wanted, changed)
            )
        return changed


def check(wanted: Change) -> None:
    """Raise `Invalid` for a change that cannot be stored."""
    slot = wanted.slot
    if slot.kind not in KINDS or slot.service_tier not in SERVICE_TIERS:
        raise Invalid("service_tier", f"is none of {', '.join(SERVICE_TIERS)}")
    if not 0 <= slot.context_over <= LONGEST_CONTEXT:
        raise Invalid("context_over", f"must be from 0 to {LONGEST_CONTEXT} tokens")
    if len(wanted.note) > LONGEST_NOTE or "\0" in wanted.note:
        raise Invalid("note", f"has at most {LONGEST_NOTE} characters")
    if not wanted.prices:
        raise Invalid("prices", "name no meter")
    for meter, unit_price in wanted.prices.items():
        price_book.check(meter, unit_price if unit_price is not None else Decimal(0))


def history(workspace_id: UUID, subject_id: UUID, kinds: Sequence[str]) -> list[Entry]:
    """List a subject's rows of some kinds, the newest start first: the workspace's own and the platform's."""
    statement = (
        select(PriceRow)
        .where(PriceRow.subject_id == subject_id, PriceRow.kind.in_(kinds))
        .where(PriceRow.workspace_id.in_({workspace_id, PLATFORM_ID}))
        .order_by(func.lower(PriceRow.valid).desc().nulls_last(), PriceRow.created_at.desc(), PriceRow.meter)
    )
    with transaction(workspace_id) as session:
        return [_entry(row) for row in session.scalars(statement)]


def _place(session: Session, workspace_id: UUID, wanted: Change, meter: str, rows: Sequence[PriceRow]) -> bool:
    """Put one meter's price into its line of rows; tell whether that changed anything."""
    mine = [row for row in rows if row.meter == meter]
    unit_price = wanted.prices[meter]
    since = wanted.since or (wanted.now if mine else None)
    before = timeline.counting_at(mine, since)
    if (before.unit_price if before else None) == unit_price:
        return False
    until = timeline.make_room(mine, since)
    session.flush()
    if unit_price is not None:
        row = price_book.new_row(workspace_id, wanted.subject_id, meter, unit_price, wanted.slot)
        row.valid, row.note, row.created_by = Range(since, until), wanted.note or None, wanted.by
        session.add(row)
        session.flush()
    return True


def _shown(wanted: Change, changed: Sequence[str]) -> dict[str, Any]:
    slot = {
        "kind": wanted.slot.kind,
        "service_tier": wanted.slot.service_tier,
        "context_over": wanted.slot.context_over,
    }
    prices = {meter: wanted.prices[meter] for meter in changed}
    return slot | {"since": wanted.since, "note": wanted.note, "prices": prices}


def _entry(row: PriceRow) -> Entry:
    return Entry(
        price_id=row.price_id,
        owner_id=row.workspace_id,
        slot=Slot(row.kind, row.service_tier, row.context_over),
        meter=row.meter,
        unit_price=row.unit_price,
        since=row.valid.lower,
        until=row.valid.upper,
        replaced=row.valid.isempty,
        note=row.note or "",
        created_by=row.created_by,
        created_at=row.created_at,
    )
