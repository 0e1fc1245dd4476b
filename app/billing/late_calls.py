"""Late calls: what ingest adds to a month, or settles in it, after its bill was written."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import psycopg

from app.billing import corrections
from app.billing.corrections import NOTHING, About, Sums, billed_of, cost_of
from app.billing.ledger import Line, Written

LATE = "calls that came or were settled after the month was closed"

# One look at a table of a row a month; in a batch without calls of such months this is all there is.
_WRITTEN = """
    select workspace_id, month, starts_at, ends_at, state = 'closed' from billing_period
    where workspace_id = any(%s) and ends_at > %s order by workspace_id, starts_at"""


class Months:
    """The months of some workspaces that have left *open* at least once and reach beyond an instant."""

    def __init__(self, rows: Iterable[tuple[UUID, date, datetime, datetime, bool]]) -> None:
        self._of: dict[UUID, list[tuple[datetime, datetime, date, bool]]] = defaultdict(list)
        for workspace_id, month, start, end, is_closed in rows:
            self._of[workspace_id].append((start, end, month, is_closed))

    def __bool__(self) -> bool:
        return bool(self._of)

    def month(self, workspace_id: UUID, instant: datetime) -> tuple[date, bool] | None:
        """Find the month around an instant and whether it is closed; None in one that was always open."""
        spans = self._of.get(workspace_id, ())
        place = bisect_right(spans, instant, key=lambda span: span[0])
        return spans[place - 1][2:] if place and instant < spans[place - 1][1] else None


def correct(database: psycopg.Connection, written: Written, *, now: datetime) -> int:
    """Write a correction for each closed month, application and model that a batch has changed; answer how many."""
    lines = [*written.added, *(line for _, line in written.replaced)]
    if not lines:
        return 0
    months = months_of(database, lines)
    sums: Sums = {}
    for about, calls, amount in _changes(written, months) if months else ():
        corrections.add(sums, about, calls, amount)
    return corrections.write(database, sums, LATE, now=now)


def months_of(database: psycopg.Connection, lines: Iterable[Line]) -> Months:
    """Read the months with a row that calls may be in."""
    entries = [line.entry for line in lines]
    workspaces = list({entry.event.workspace_id for entry in entries})
    rows = database.execute(_WRITTEN.encode(), [workspaces, min(entry.occurred_at for entry in entries)])
    return Months(tuple(row) for row in rows)


def _changes(written: Written, months: Months) -> Iterator[tuple[About, int, Decimal]]:
    """Say of each call what it changes: all of it in a closed month; in another, what corrections had made of it."""
    for line in written.added:
        about, is_closed = _about(line, months)
        if about and is_closed:
            yield about, 1, _usd(line)
    for row, line in written.replaced:
        about, is_closed = _about(line, months)
        if about is None:
            continue
        before = about._replace(application_id=row.application_id, model_id=row.model_id)
        if is_closed:
            yield before, -1, -cost_of(row)
            yield about, 1, _usd(line)
        else:
            yield before, 0, billed_of(row) - cost_of(row)


def _about(line: Line, months: Months) -> tuple[About | None, bool]:
    event = line.entry.event
    found = months.month(event.workspace_id, line.entry.occurred_at)
    if found is None:
        return None, False
    month, is_closed = found
    return About(event.workspace_id, month, event.application_id, event.model_id), is_closed


def _usd(line: Line) -> Decimal:
    return line.charge.usd or NOTHING
