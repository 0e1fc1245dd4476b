"""The price book: what a meter costs, and since when. A row is never edited, only followed by another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.orm import Session

from app.extensions import transaction
from app.logging import audit
from app.model.prices import CONTRACT, LIST, STANDARD, UNITS
from app.model.tables import DeploymentRow, ModelRow, PriceRow
from app.units import new_id
from app.wire.usage import METERS
from app.workspace import revisions
from app.workspace.names import Invalid

DECIMALS = 6
DEAREST = Decimal(1_000_000)
SMALLEST_STEP = timedelta(microseconds=1)
PRICED = (*METERS, *UNITS)
"""What can have a price: the meters by the million, and what is counted one by one."""


class Slot(NamedTuple):
    """A subject's line of rows: of one kind, for one service tier, above one context length."""

    kind: str = LIST
    service_tier: str = STANDARD
    context_over: int = 0


STANDARD_LIST = Slot()


class Changed(Exception):
    """Somebody else has changed the prices since they were shown."""


def set_prices(
    workspace_id: UUID, subject_id: UUID, prices: Mapping[str, Decimal], *, now: datetime, slot: Slot = STANDARD_LIST
) -> bool:
    """Set the list prices of a model or deployment, in dollars per million tokens by meter; tell whether any changed.

    A meter's first price counts for all time before as well. A changed one counts from `now`, and one
    that is left out ends at `now`; what is planned for later stays. Raises `Invalid` for an unknown
    meter or an amount that is not exact.
    """
    for meter, unit_price in prices.items():
        check(meter, unit_price)
    with held(workspace_id) as session:
        rows = rows_of(session, workspace_id, subject_id, slot)
        planned = [row for row in rows if _is_planned(row, now)]
        begun = [row for row in rows if row not in planned]
        until = {meter: _first_start(row for row in planned if row.meter == meter) for meter in PRICED}
        current = {row.meter: row.unit_price for row in begun if row.valid.upper in (None, until[row.meter])}
        changed = [meter for meter in {**current, **prices} if current.get(meter) != prices.get(meter)]
        for meter in changed:
            start = _follow([row for row in begun if row.meter == meter], now, until[meter])
            session.flush()
            if meter in prices:
                row = new_row(workspace_id, subject_id, meter, prices[meter], slot)
                row.valid = Range(start, until[meter])
                session.add(row)
        if changed:
            revisions.bump_catalogue()
            name = _name_of(session, workspace_id, subject_id)
            audit.record("price.update", kind="price", id=subject_id, name=name, before=current, after=prices)
        return bool(changed)


@contextmanager
def held(workspace_id: UUID, subject_id: UUID | None = None, *, seen: str = "") -> Iterator[Session]:
    """Change prices in the block while nobody else can. Raise `Changed` when the subject's mark is no longer `seen`."""
    with transaction(workspace_id) as session:
        revisions.hold_catalogue(session)
        if subject_id and seen and seen != mark(workspace_id, subject_id):
            raise Changed(f"the prices of {subject_id} have changed")
        yield session


def mark(workspace_id: UUID, subject_id: UUID) -> str:
    """Say how a subject's rows of this owner stand, in a few letters: what a form carries from when it was shown."""
    mine = (PriceRow.workspace_id == workspace_id, PriceRow.subject_id == subject_id)
    with transaction(workspace_id) as session:
        rows = session.execute(select(PriceRow.price_id, PriceRow.valid).where(*mine).order_by(PriceRow.price_id))
        return sha256(repr([(row.price_id, str(row.valid)) for row in rows]).encode()).hexdigest()[:16]


def current(workspace_id: UUID) -> dict[UUID, dict[str, Decimal]]:
    """Read the standard list prices of this moment: subject → meter → dollars per million tokens."""
    return {
        subject_id: slots[STANDARD_LIST]
        for subject_id, slots in current_tiers(workspace_id).items()
        if STANDARD_LIST in slots
    }


def current_tiers(workspace_id: UUID, *, contracts: bool = False) -> dict[UUID, dict[Slot, dict[str, Decimal]]]:
    """Read the list prices of this moment, with `contracts` those too: subject → slot → meter → dollars."""
    kinds = {LIST, CONTRACT} if contracts else {LIST}
    statement = select(PriceRow).where(
        PriceRow.workspace_id == workspace_id,
        PriceRow.kind.in_(kinds),
        PriceRow.valid.op("@>")(func.statement_timestamp()),
    )
    found: dict[UUID, dict[Slot, dict[str, Decimal]]] = {}
    with transaction(workspace_id) as session:
        for row in session.scalars(statement.order_by(PriceRow.context_over)):
            slots = found.setdefault(row.subject_id, {})
            slots.setdefault(Slot(row.kind, row.service_tier, row.context_over), {})[row.meter] = row.unit_price
    return found


def check(meter: str, unit_price: Decimal) -> None:
    """Raise `Invalid` for a meter that there is not, or a price that cannot be stored exactly."""
    if meter not in PRICED:
        raise Invalid(meter, f"is no meter; there are {', '.join(PRICED)}")
    if not unit_price.is_finite() or not 0 <= unit_price <= DEAREST:
        raise Invalid(
            meter, f"must be from 0 to {DEAREST} dollars {'each' if meter in UNITS else 'per million tokens'}"
        )
    if unit_price != round(unit_price, DECIMALS):
        raise Invalid(meter, f"has more than {DECIMALS} decimals")


def rows_of(session: Session, workspace_id: UUID, subject_id: UUID, slot: Slot) -> list[PriceRow]:
    """Read a subject's rows of one slot that count at any time, the earliest first."""
    mine = (
        PriceRow.workspace_id == workspace_id,
        PriceRow.subject_id == subject_id,
        PriceRow.kind == slot.kind,
        PriceRow.service_tier == slot.service_tier,
        PriceRow.context_over == slot.context_over,
        ~func.isempty(PriceRow.valid),
    )
    return list(session.scalars(select(PriceRow).where(*mine).order_by(func.lower(PriceRow.valid).nulls_first())))


def new_row(workspace_id: UUID, subject_id: UUID, meter: str, unit_price: Decimal, slot: Slot) -> PriceRow:
    """Make a row that counts for all time, until its `valid` says otherwise."""
    row = PriceRow(workspace_id=workspace_id, price_id=new_id(), subject_id=subject_id, meter=meter)
    row.kind, row.service_tier, row.context_over = slot
    row.unit_price, row.valid = unit_price, Range(None, None)
    return row


def _name_of(session: Session, workspace_id: UUID, subject_id: UUID) -> str:
    """Name a model or a deployment; empty when it is gone."""
    model = session.get(ModelRow, (workspace_id, subject_id))
    if model:
        return model.name
    deployment = session.get(DeploymentRow, (workspace_id, subject_id))
    return deployment.upstream_model if deployment else ""


def _is_planned(row: PriceRow, now: datetime) -> bool:
    """A row that begins ahead, and not only because the clock has gone back: it was written before it began."""
    lower = row.valid.lower
    return lower is not None and lower > max(now, row.created_at)


def _first_start(rows: Iterable[PriceRow]) -> datetime | None:
    starts = [row.valid.lower for row in rows if row.valid.lower is not None]
    return min(starts, default=None)


def _follow(rows: Sequence[PriceRow], now: datetime, until: datetime | None) -> datetime | None:
    """End a meter's price now, and say when the next one starts; None is for all time.

    Never before the price itself started, should the clock have gone back: a price that has counted
    keeps its time. `until` is where a planned price begins.
    """
    if not rows:
        return None
    last = rows[-1]
    if last.valid.upper is not None and last.valid.upper != until:
        return max(now, last.valid.upper)
    end = now if last.valid.lower is None else max(now, last.valid.lower + SMALLEST_STEP)
    last.valid = Range(last.valid.lower, end)
    return end
