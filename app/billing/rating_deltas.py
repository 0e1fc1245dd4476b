"""What a rating run finds, by month, application and model: cost before and after, and calls without a price."""

from datetime import date
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import psycopg

NOTHING = Decimal(0)

Key = tuple[date, bool, UUID, UUID]
"""Month, whether it is closed, application, model."""

_ADD = """
    insert into rating_delta as d (workspace_id, run_id, month, is_closed, application_id, model_id, calls, before, after,
        unpriced_before, unpriced_after)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    on conflict (workspace_id, run_id, month, is_closed, application_id, model_id) do update set
        calls = d.calls + excluded.calls, before = d.before + excluded.before, after = d.after + excluded.after,
        unpriced_before = d.unpriced_before + excluded.unpriced_before,
        unpriced_after = d.unpriced_after + excluded.unpriced_after"""


class Sums(NamedTuple):
    """Calls, their cost before and after, and how many of them had and have no price."""

    calls: int = 0
    before: Decimal = NOTHING
    after: Decimal = NOTHING
    unpriced_before: int = 0
    unpriced_after: int = 0

    def plus(self, others: "Sums") -> "Sums":
        """Add the figures of others to these."""
        return Sums(
            self.calls + others.calls,
            self.before + others.before,
            self.after + others.after,
            self.unpriced_before + others.unpriced_before,
            self.unpriced_after + others.unpriced_after,
        )


class Deltas:
    """The sums that a run gathers."""

    def __init__(self) -> None:
        self.by_key: dict[Key, Sums] = {}

    def count(self, key: Key, before: Decimal | None, after: Decimal | None) -> None:
        """Count one call; None is unpriced."""
        one = Sums(1, before or NOTHING, after or NOTHING, int(before is None), int(after is None))
        self.by_key[key] = self.by_key.get(key, Sums()).plus(one)

    @property
    def change(self) -> Decimal:
        """What all of it costs more than before."""
        return sum((sums.after - sums.before for sums in self.by_key.values()), NOTHING)

    def write(self, database: psycopg.Connection, workspace_id: UUID, run_id: UUID) -> None:
        """Add these sums to those that the run's earlier days left."""
        with database.cursor() as cursor:
            cursor.executemany(_ADD, [(workspace_id, run_id, *key, *sums) for key, sums in sorted(self.by_key.items())])
