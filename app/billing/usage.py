"""What a key has used: exact between any two instants, from rollups where whole hours allow it.

The workspace-local hours that lie inside the span come from the hourly sums, what is left at both
ends from the ledger itself, in one statement and so from one state of the database.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from redis.exceptions import RedisError
from sqlalchemy import Integer, Select, Subquery, and_, cast, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from app.billing import rollup_zones
from app.billing.events import ESTIMATED, PROVISIONAL, stream_key
from app.billing.tables import ROLLUPS, ChargeRow, IngestCursorRow, RollupZoneRow, UsageEventRow
from app.extensions import redis, transaction
from app.units import bucket_of, bucket_tag, local_hour_of, utc_now
from app.wire.usage import METERS

HOUR = timedelta(hours=1)
COUNTS = ("requests", "provisional", "estimated", "unpriced")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSummary:
    """Calls admitted in [`start`, `end`), US dollars. `cost` leaves out the `unpriced` calls, whose cost is unknown.

    Complete for all that was settled before `as_of`.
    """

    start: datetime
    end: datetime
    requests: int
    tokens: dict[str, int]
    cost: Decimal
    unpriced: int
    provisional: int
    estimated: int
    as_of: datetime


def usage_of_key(workspace_id: UUID, key_id: UUID, *, start: datetime, end: datetime) -> UsageSummary:
    """Sum up a key's calls by the instant of their admission; `tokens` has every common meter."""
    complete_until = waiting_since(workspace_id)
    with transaction(workspace_id) as session:
        sums = _sums(session, workspace_id, key_id, start, max(start, end))
        as_of = complete_until or _last_ingest(session, workspace_id)
    return UsageSummary(
        start=start,
        end=end,
        tokens={meter: int(sums[meter]) for meter in METERS},
        cost=Decimal(sums["cost"]),
        as_of=as_of,
        **{count: int(sums[count]) for count in COUNTS},
    )


def whole_hours(start: datetime, end: datetime, in_zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Find the longest run of whole local hours inside [start, end); when there is none, an empty one at `end`.

    An instant is a border when it is the start of its own hour. Where a zone moves by half an hour
    the hour around the change has no such start, and is left to the ledger.
    """
    first = start
    while first < end and local_hour_of(first, in_zone) != first:
        first = local_hour_of(first, in_zone) + HOUR
    last = end
    while last > first and local_hour_of(last, in_zone) != last:
        last = local_hour_of(last, in_zone)
    return (first, last) if first < last else (end, end)


def waiting_since(workspace_id: UUID) -> datetime | None:
    """Tell up to when everything settled is in the ledger: since when the oldest entry waits, else now.

    None when Redis cannot say.
    """
    now = utc_now()
    try:
        oldest: Any = redis().xrange(stream_key(bucket_tag(bucket_of(workspace_id))), count=1)
    except RedisError:
        return None
    if not oldest:
        return now
    milliseconds = int(oldest[0][0].partition(b"-")[0])
    return min(now, datetime.fromtimestamp(milliseconds / 1000, UTC))


def _last_ingest(session: Session, workspace_id: UUID) -> datetime:
    """Tell when the workspace's bucket was last taken into the ledger; the epoch when never."""
    mine = IngestCursorRow.bucket == bucket_of(workspace_id)
    found = session.scalar(select(IngestCursorRow.updated_at).where(mine))
    return found or datetime.fromtimestamp(0, UTC)


def _sums(session: Session, workspace_id: UUID, key_id: UUID, start: datetime, end: datetime) -> dict[str, Any]:
    """Add up by the hours that the rollups have; again, when they were rebuilt by others in between."""
    built_by = select(RollupZoneRow.timezone).where(RollupZoneRow.workspace_id == workspace_id)
    timezone = session.scalar(built_by)
    while True:
        parts = _parts(workspace_id, key_id, start, end, rollup_zones.load(timezone or "UTC"))
        sums = {name: func.coalesce(func.sum(parts.c[name]), 0).label(name) for name in (*COUNTS, *METERS, "cost")}
        row = session.execute(select(built_by.scalar_subquery().label("timezone"), *sums.values())).one()
        if row.timezone == timezone:
            return {name: getattr(row, name) for name in sums}
        timezone = row.timezone


def _parts(workspace_id: UUID, key_id: UUID, start: datetime, end: datetime, in_zone: ZoneInfo) -> Subquery:
    first, last = whole_hours(start, end, in_zone)
    hours = _from_rollup(workspace_id, key_id, first, last)
    edges = _from_ledger(workspace_id, key_id, (start, first), (last, end))
    return union_all(hours, edges).subquery()


def _from_rollup(
    workspace_id: UUID, key_id: UUID, first: datetime, last: datetime
) -> Select[tuple[int | Decimal, ...]]:
    sums = ROLLUPS["key_id"].c
    return select(*(sums[name] for name in (*COUNTS, *METERS)), sums.billed_cost.label("cost")).where(
        sums.workspace_id == workspace_id, sums.key_id == key_id, sums.hour_start >= first, sums.hour_start < last
    )


def _from_ledger(
    workspace_id: UUID, key_id: UUID, *spans: tuple[datetime, datetime]
) -> Select[tuple[int | Decimal | None, ...]]:
    """Count each call of some spans as a part of its own, in the columns of a rollup."""
    row, cost = UsageEventRow, ChargeRow.billed_cost
    counts = (
        literal(1),
        cast(row.state == PROVISIONAL, Integer),
        cast(row.usage_source == ESTIMATED, Integer),
        cast(cost.is_(None), Integer),
    )
    key = [getattr(ChargeRow, name) == getattr(row, name) for name in ("workspace_id", "occurred_at", "event_id")]
    return (
        select(*counts, *(getattr(row, meter) for meter in METERS), func.coalesce(cost, 0))
        .join(ChargeRow, and_(*key))
        .where(row.workspace_id == workspace_id, row.key_id == key_id)
        .where(or_(*(and_(row.occurred_at >= start, row.occurred_at < end) for start, end in spans)))
    )
