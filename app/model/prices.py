"""The price function: what usage costs, to the last digit. The same one reserves, bills, checks and explains.

    cost(meters, prices, factor=1) -> Cost(list_usd, billed_usd, provider_usd, lines)

`prices` is a `Prices`: the rows that count for the call, of each kind by meter; `app/model/rate_cards.py`
finds them. `factor` is the workspace's adjustment of list prices. A `Line` is (meter, quantity, price_id,
list_usd, billed_usd) and what they were made of. Each amount is rounded half-even to twelve decimals, then
summed. A sum of None is unknown, because a meter that was used has no price; unpriced is `billed_usd` None,
which is never 0. `of_rows(rows)` makes the `Prices` of a stored charge from its price rows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple
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

LIST, CONTRACT, PROVIDER_COST = KINDS = ("list", "contract", "provider_cost")
STANDARD = "standard"
SERVICE_TIERS = (STANDARD, "batch", "flex", "priority")

REQUEST = "request"
"""Counts once for each billable call, where it has a price."""
UNITS = (REQUEST, "image")
"""Meters whose price is dollars for each one, not for a million."""

_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
"""Wide enough for any count of tokens times a price of 24 digits times a factor."""
_SMALLEST = Decimal(1).scaleb(-12)
_ZERO, _ONE = Decimal(0), Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One row of the price book, valid in [`start`, `end`); None is open. `unit_price` is dollars.

    It counts for calls of its service tier whose input is more than `context_over` tokens.
    """

    price_id: UUID
    subject_id: UUID
    meter: str
    unit_price: Decimal
    kind: str = LIST
    service_tier: str = STANDARD
    context_over: int = 0
    start: datetime | None = None
    end: datetime | None = None

    def valid_at(self, instant: datetime) -> bool:
        """Tell whether the row counts at an instant."""
        return (self.start is None or self.start <= instant) and (self.end is None or instant < self.end)


@dataclass(frozen=True, slots=True)
class Prices:
    """The rows that count for one call, by meter. `contract` are the calling workspace's own, for what it is billed."""

    listed: Mapping[str, Price] = field(default_factory=dict)
    contract: Mapping[str, Price] = field(default_factory=dict)
    provider: Mapping[str, Price] = field(default_factory=dict)


class Line(NamedTuple):
    """What one meter of a call costs. `price` is the row that it is billed by, at its amount times `factor`.

    `list_usd` is None where only the contract has a price.
    """

    meter: str
    quantity: int
    price_id: UUID
    list_usd: Decimal | None
    billed_usd: Decimal
    price: Price
    listed: Price | None
    factor: Decimal


class Cost(NamedTuple):
    """What a call costs by list, as billed, and to whoever runs the gateway; None is unknown. Unpriced has no lines."""

    list_usd: Usd | None
    billed_usd: Usd | None
    provider_usd: Usd | None
    lines: tuple[Line, ...] = ()

    @property
    def price_ids(self) -> tuple[UUID, ...]:
        """The rows that say so, each once: list and contract, in the order of the meters."""
        found: dict[UUID, None] = {}
        for line in self.lines:
            if line.listed is not None:
                found[line.listed.price_id] = None
            found[line.price_id] = None
        return tuple(found)


def cost(meters: Mapping[str, int], prices: Prices, factor: Decimal = _ONE) -> Cost:
    """Price the meters of one billable call. A contract's price for a meter goes before the list price times `factor`.

    A meter whose quantity is 0 needs no price; a call that finds no price at all is unpriced, whatever it used.
    """
    provider = _provider_cost(meters, prices.provider)
    if not prices.listed and not prices.contract:
        return Cost(None, None, provider)
    lines: list[Line] = []
    for meter, quantity in _counted(meters, prices.listed, prices.contract).items():
        line = _line(meter, quantity, prices, factor)
        if line is None:
            return Cost(None, None, provider)
        lines.append(line)
    return Cost(_list_cost(lines), Usd(sum((line.billed_usd for line in lines), _ZERO)), provider, tuple(lines))


def amount(meter: str, quantity: int, unit_price: Decimal, factor: Decimal = _ONE) -> Decimal:
    """Price a quantity of one meter, in dollars with twelve decimals, rounded half-even once."""
    exact = _EXACT.multiply(Decimal(quantity), unit_price)
    if factor is not _ONE:
        exact = _EXACT.multiply(exact, factor)
    if meter not in UNITS:
        exact = _EXACT.divide(exact, PER_MILLION)
    return exact.quantize(_SMALLEST, context=_EXACT)


def without_price(meters: Mapping[str, int], prices: Prices) -> list[str]:
    """Name the meters that make a call unpriced."""
    counted = _counted(meters, prices.listed, prices.contract)
    return [meter for meter in counted if _price_of(meter, prices.contract, prices.listed) is None]


def of_rows(rows: Iterable[Price]) -> Prices:
    """Gather the rows that a charge names: priced by them again, the call costs what it cost."""
    found: dict[str, dict[str, Price]] = {kind: {} for kind in KINDS}
    for row in rows:
        found[row.kind][row.meter] = row
    return Prices(found[LIST], found[CONTRACT], found[PROVIDER_COST])


def _counted(meters: Mapping[str, int], *priced: Mapping[str, Price]) -> Mapping[str, int]:
    """Keep what was used, and add the call itself where it has a price. A meter of 0 needs none."""
    used = {meter: quantity for meter, quantity in meters.items() if quantity and meter != REQUEST}
    return {**used, REQUEST: 1} if any(REQUEST in prices for prices in priced) else used


def _line(meter: str, quantity: int, prices: Prices, factor: Decimal) -> Line | None:
    listed = _price_of(meter, prices.listed)
    price = _price_of(meter, prices.contract, prices.listed) if prices.contract else listed
    if price is None:
        return None
    list_usd = None if listed is None else amount(meter, quantity, listed.unit_price)
    if price is listed and factor == _ONE and list_usd is not None:
        return Line(meter, quantity, price.price_id, list_usd, list_usd, price, listed, _ONE)
    used = factor if price.kind == LIST else _ONE
    billed = amount(meter, quantity, price.unit_price, used)
    return Line(meter, quantity, price.price_id, list_usd, billed, price, listed, used)


def _price_of(meter: str, *books: Mapping[str, Price]) -> Price | None:
    """Find a meter's price, or its neighbour's; the first book goes first for each of them."""
    found: str | None = meter
    while found is not None:
        for book in books:
            if found in book:
                return book[found]
        found = FALLBACKS.get(found)
    return None


def _list_cost(lines: Iterable[Line]) -> Usd | None:
    total = _ZERO
    for line in lines:
        if line.list_usd is None:
            # What the list leaves out for the call itself is no gap in the list.
            if line.meter == REQUEST:
                continue
            return None
        total += line.list_usd
    return Usd(total)


def _provider_cost(meters: Mapping[str, int], prices: Mapping[str, Price]) -> Usd | None:
    if not prices:
        return None
    total = _ZERO
    for meter, quantity in _counted(meters, prices).items():
        price = _price_of(meter, prices)
        if price is None:
            return None
        total += amount(meter, quantity, price.unit_price)
    return Usd(total)
