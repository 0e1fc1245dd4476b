"""The rate card: which rows of the price book count for a call, and by what factor its workspace is billed.

    RateCard(prices, adjustments).rate(Consumption(...)) -> Rated(cost, adjustment_id)

Pure and in memory: the gateway, ingest, recompute and the page that explains a price all ask it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from app.model.prices import CONTRACT, KINDS, LIST, PROVIDER_COST, SERVICE_TIERS, STANDARD, Cost, Price, Prices, cost
from app.units import PLATFORM_ID

IN_CONTEXT = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio")
"""The meters that a tier by context length counts."""
_BEGINNING, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_ONE = Decimal(1)
_LONGEST = {"input": 2**63}


class Consumption(NamedTuple):
    """What a billable call used, and by whom, where and when. `service_tier` is the provider's word for it, or None."""

    workspace_id: UUID
    model_id: UUID
    deployment_id: UUID
    at: datetime
    meters: Mapping[str, int]
    service_tier: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """What a workspace's list prices are multiplied by in [`start`, `end`); None is open."""

    adjustment_id: UUID
    factor: Decimal
    start: datetime | None = None
    end: datetime | None = None


class Rated(NamedTuple):
    """A call's cost, and the adjustment that made it; None: there is none, or it touched nothing."""

    cost: Cost
    adjustment_id: UUID | None = None


class RateCard:
    """Price rows of every kind and adjustments, each with the workspace that owns it."""

    def __init__(
        self, prices: Iterable[tuple[UUID, Price]] = (), adjustments: Iterable[tuple[UUID, Adjustment]] = ()
    ) -> None:
        rows: dict[str, dict[UUID, list[Price]]] = {kind: {} for kind in KINDS}
        for owner, price in prices:
            rows[price.kind].setdefault(owner, []).append(price)
        self._books = {kind: {owner: PriceBook(found) for owner, found in of.items()} for kind, of in rows.items()}
        self._adjustments: dict[UUID, list[Adjustment]] = {}
        for workspace_id, adjustment in adjustments:
            self._adjustments.setdefault(workspace_id, []).append(adjustment)

    def rate(self, used: Consumption) -> Rated:
        """Price a billable call at its instant."""
        adjustment = self.adjustment_of(used.workspace_id, used.at)
        found = cost(used.meters, self.prices_of(used), adjustment.factor if adjustment else _ONE)
        touched = adjustment is not None and any(line.price.kind == LIST for line in found.lines)
        return Rated(found, adjustment.adjustment_id if adjustment and touched else None)

    def prices_of(self, used: Consumption) -> Prices:
        """Find the rows that count for a call.

        A platform's model costs what the platform says: a workspace's list price for it counts for nothing.
        """
        platform, own = PLATFORM_ID, used.workspace_id
        return Prices(
            self._rows(LIST, (platform, own), used),
            self._rows(CONTRACT, (own,), used),
            self._rows(PROVIDER_COST, (platform, own), used),
        )

    def is_free(self, used: Consumption) -> bool:
        """Tell whether no call like this one, of any service tier or length, costs its workspace a thing. Unpriced is not free."""
        like = [used._replace(service_tier=tier, meters=meters) for tier in SERVICE_TIERS for meters in ({}, _LONGEST)]
        found = [self.prices_of(one) for one in like]
        adjustment = self.adjustment_of(used.workspace_id, used.at)
        factor = adjustment.factor if adjustment else _ONE
        return all(
            (prices.listed or prices.contract)
            and not any(price.unit_price for price in prices.contract.values())
            and not any(
                price.unit_price * factor for meter, price in prices.listed.items() if meter not in prices.contract
            )
            for prices in found
        )

    def adjustment_of(self, workspace_id: UUID, instant: datetime) -> Adjustment | None:
        """Find what a workspace's list prices are multiplied by at an instant."""
        for found in self._adjustments.get(workspace_id, ()) if self._adjustments else ():
            if (found.start is None or found.start <= instant) and (found.end is None or instant < found.end):
                return found
        return None

    def _rows(self, kind: str, owners: Iterable[UUID], used: Consumption) -> dict[str, Price]:
        """Find the rows of the first owner who has any. A card of one model has few books; none is the usual case."""
        books = self._books[kind]
        if books:
            for owner in owners:
                if owner in books and (found := books[owner].at(used)):
                    return found
        return {}


class PriceBook:
    """One owner's rows of one kind by what they hang on: a deployment's own, else its model's."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._by_subject: dict[UUID, list[Price]] = {}
        self._last: dict[UUID, tuple[datetime, datetime, Tiers]] = {}
        for price in prices:
            self._by_subject.setdefault(price.subject_id, []).append(price)

    def at(self, used: Consumption) -> dict[str, Price]:
        """Find the prices by meter that count for a call; empty is unpriced."""
        for subject in (used.deployment_id, used.model_id):
            if subject in self._by_subject and (found := self._of(subject, used.at).choose(used)):
                return found
        return {}

    def _of(self, subject: UUID, instant: datetime) -> "Tiers":
        """Find a subject's prices; the last answer is kept for as long as no price begins or ends."""
        last = self._last.get(subject)
        if last is not None and last[0] <= instant < last[1]:
            return last[2]
        rows = self._by_subject[subject]
        edges = [edge for price in rows for edge in (price.start, price.end) if edge is not None]
        since = max((edge for edge in edges if edge <= instant), default=_BEGINNING)
        until = min((edge for edge in edges if edge > instant), default=_END)
        found = Tiers([price for price in rows if price.valid_at(instant)])
        self._last[subject] = (since, until, found)
        return found


class Tiers:
    """A subject's rows of one instant, laid out by service tier and by the context length that they begin above."""

    def __init__(self, rows: Iterable[Price]) -> None:
        rows = sorted(rows, key=lambda row: row.context_over)
        self._lengths = sorted({row.context_over for row in rows} - {0})
        self._found = {tier: [_chosen(rows, tier, length) for length in (0, *self._lengths)] for tier in SERVICE_TIERS}

    def choose(self, used: Consumption) -> dict[str, Price]:
        """Find each meter's row: of the call's service tier, else of the standard one; of the longest context exceeded."""
        by_length = self._found.get(used.service_tier or STANDARD) or self._found[STANDARD]
        if not self._lengths:
            return by_length[0]
        tokens = sum(used.meters.get(meter, 0) for meter in IN_CONTEXT)
        return by_length[bisect_left(self._lengths, tokens)]


def price_from(row: Mapping[str, Any]) -> Price:
    """Read a price as `catalogue_since` hands it over."""
    return Price(
        price_id=UUID(row["price_id"]),
        subject_id=UUID(row["subject_id"]),
        meter=row["meter"],
        unit_price=Decimal(row["unit_price"]),
        kind=row["kind"],
        service_tier=row["service_tier"],
        context_over=row["context_over"],
        start=_instant(row["from"]),
        end=_instant(row["to"]),
    )


def _chosen(rows: list[Price], tier: str, length: int) -> dict[str, Price]:
    """Lay a tier's rows over the standard ones, those of longer contexts over those of shorter ones."""
    counting = [row for row in rows if row.context_over <= length]
    return {
        row.meter: row for wanted in dict.fromkeys((STANDARD, tier)) for row in counting if row.service_tier == wanted
    }


def _instant(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value and value not in {"infinity", "-infinity"} else None
