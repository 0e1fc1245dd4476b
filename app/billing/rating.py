"""Rating: what the calls of a batch cost, by the one price function and the price book's rows."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec
import psycopg

from app.billing.events import UsageEvent
from app.model.prices import Price, PriceBook, cost
from app.units import PLATFORM_ID, Usd

_PRICES = """
    select workspace_id, price_id, subject_id, meter, unit_price,
           nullif(lower(valid), '-infinity'), nullif(upper(valid), 'infinity')
    from price where kind = 'list' and subject_id = any(%s) and not isempty(valid)"""


class Charge(msgspec.Struct, frozen=True):
    """What one call costs, in US dollars, and the price rows that say so. None is unpriced, which is not 0."""

    usd: Usd | None
    price_ids: tuple[UUID, ...] = ()


FREE = Charge(Usd(Decimal(0)))
UNPRICED = Charge(None)


class Rates:
    """The price rows that a batch needs, by the workspace that owns them."""

    def __init__(self, prices: Iterable[tuple[UUID, Price]]) -> None:
        rows: dict[UUID, list[Price]] = {}
        for owner, price in prices:
            rows.setdefault(owner, []).append(price)
        self._books = {owner: PriceBook(found) for owner, found in rows.items()}

    def charge(self, event: UsageEvent, occurred_at: datetime) -> Charge:
        """Price one call at its instant; not billable is 0 by no price row."""
        if not event.billable:
            return FREE
        found = cost(event.meters, self._prices(event, occurred_at))
        return UNPRICED if found is None else Charge(found.usd, found.price_ids)

    def _prices(self, event: UsageEvent, occurred_at: datetime) -> dict[str, Price]:
        """A platform's model costs what the platform says: a workspace's row for it counts for nothing."""
        for owner in (PLATFORM_ID, event.workspace_id):
            if book := self._books.get(owner):
                subjects = {"deployment_id": event.deployment_id, "model_id": event.model_id}
                if prices := book.at(occurred_at, **subjects):
                    return prices
        return {}


def rates(connection: psycopg.Connection, events: Iterable[UsageEvent]) -> Rates:
    """Read the list prices of everything that the events used, all versions of them."""
    subjects = {subject for event in events for subject in (event.deployment_id, event.model_id)}
    return Rates(_price(row) for row in connection.execute(_PRICES, [list(subjects)]))


def _price(row: tuple[UUID, UUID, UUID, str, Decimal, datetime | None, datetime | None]) -> tuple[UUID, Price]:
    owner, price_id, subject_id, meter, unit_price, start, end = row
    price = Price(price_id=price_id, subject_id=subject_id, meter=meter, unit_price=unit_price, start=start, end=end)
    return owner, price
