"""The price function: what usage costs, to the last digit. The same one reserves and bills.

Prices are dollars per million tokens with at most six decimals, so a cost has at most twelve
and is exact in `NUMERIC(24,12)`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.units import PER_MILLION, Usd

FALLBACKS = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "reasoning": "output",
    "input_audio": "input",
    "output_audio": "output",
}
"""The meter whose price a meter without one takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One row of the price book, valid in [`start`, `end`); None is open."""

    price_id: UUID
    subject_id: UUID
    meter: str
    unit_price: Decimal
    start: datetime | None = None
    end: datetime | None = None

    def valid_at(self, instant: datetime) -> bool:
        """Tell whether the row counts at an instant."""
        return (self.start is None or self.start <= instant) and (self.end is None or instant < self.end)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call costs, and the rows that say so."""

    usd: Usd
    price_ids: tuple[UUID, ...]


class PriceBook:
    """List prices by what they hang on: a deployment's own, else its model's."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._by_subject: dict[UUID, list[Price]] = {}
        self._last: dict[UUID, tuple[datetime, datetime, dict[str, Price]]] = {}
        for price in prices:
            self._by_subject.setdefault(price.subject_id, []).append(price)

    def at(self, instant: datetime, *, deployment_id: UUID, model_id: UUID) -> dict[str, Price]:
        """Find the prices by meter that count for a deployment at an instant; empty is unpriced."""
        for subject in (deployment_id, model_id):
            if subject in self._by_subject and (found := self._of(subject, instant)):
                return found
        return {}

    def _of(self, subject: UUID, instant: datetime) -> dict[str, Price]:
        """Find a subject's prices; the last answer is kept for as long as no price begins or ends."""
        last = self._last.get(subject)
        if last is not None and last[0] <= instant < last[1]:
            return last[2]
        rows = self._by_subject[subject]
        edges = [edge for price in rows for edge in (price.start, price.end) if edge is not None]
        since = max((edge for edge in edges if edge <= instant), default=datetime.min.replace(tzinfo=UTC))
        until = min((edge for edge in edges if edge > instant), default=datetime.max.replace(tzinfo=UTC))
        found = {price.meter: price for price in rows if price.valid_at(instant)}
        self._last[subject] = (since, until, found)
        return found


def cost(meters: Mapping[str, int], prices: Mapping[str, Price]) -> Cost | None:
    """Price the meters of one call. None: a meter that was used has no price, so the call is unpriced."""
    if not prices:
        return None
    total = Decimal(0)
    used: list[UUID] = []
    for meter, count in meters.items():
        price = _price_of(meter, prices)
        if price is None:
            return None
        total += count * price.unit_price
        used.append(price.price_id)
    return Cost(Usd(total / PER_MILLION), tuple(dict.fromkeys(used)))


def _price_of(meter: str, prices: Mapping[str, Price]) -> Price | None:
    while meter not in prices:
        if meter not in FALLBACKS:
            return None
        meter = FALLBACKS[meter]
    return prices[meter]


def from_json(row: Mapping[str, Any]) -> Price:
    """Read a price as `catalogue_since` hands it over."""
    return Price(
        price_id=UUID(row["price_id"]),
        subject_id=UUID(row["subject_id"]),
        meter=row["meter"],
        unit_price=Decimal(row["unit_price"]),
        start=datetime.fromisoformat(row["from"]) if row["from"] else None,
        end=datetime.fromisoformat(row["to"]) if row["to"] else None,
    )
