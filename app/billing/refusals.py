"""Calls that the gateway itself refused: how many, of which key and why. They are no usage and cost nothing.

Proxies count them and send the counts with the usage; ingest adds them up by hour, in the transaction
that moves the cursor, so each counts once.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.billing import rollup_zones, rollups
from app.billing.events import Refusals
from app.billing.figures import Scope
from app.billing.refusal_tables import RefusalHourRow
from app.errors import NotAuthenticated
from app.extensions import transaction
from app.units import PLATFORM_ID

_ADD = """
    insert into refusal_hour as r (workspace_id, hour_start, key_id, code, calls)
    select * from unnest(%s::uuid[], %s::timestamptz[], %s::uuid[], %s::text[], %s::bigint[])
    on conflict (workspace_id, hour_start, key_id, code) do update set calls = r.calls + excluded.calls"""


def add(connection: psycopg.Connection, found: Sequence[Refusals]) -> None:
    """Add counts to their hours, rows in the order of their keys. Under the bucket's lock."""
    if not any(one.counts for one in found):
        return
    zones = rollup_zones.used(connection, {count.workspace_id for one in found for count in one.counts})
    sums = Counter[tuple[UUID, datetime, UUID, str]]()
    for one in found:
        for count in one.counts:
            hour, _ = rollups.starts_of(one.at, zones[count.workspace_id])
            sums[count.workspace_id, hour, count.key_id, count.code] += count.calls
    columns = zip(*((*place, calls) for place, calls in sorted(sums.items())), strict=True)
    connection.execute(_ADD, [list(column) for column in columns])


def of(session: Session, scope: Scope) -> dict[str, int] | None:
    """Count the refused calls of a scope by their reason, most first.

    None where it is narrowed down to anything but a key: of a refused call nothing else is known.
    """
    row, only = RefusalHourRow, scope.only.given
    if only.keys() - {"key"}:
        return None
    calls = func.sum(row.calls)
    asked = select(row.code, calls).where(
        row.workspace_id == scope.workspace_id, row.hour_start >= scope.start, row.hour_start < scope.end
    )
    asked = asked.where(row.key_id == only["key"]) if only else asked
    return {code: int(count) for code, count in session.execute(asked.group_by(row.code).order_by(-calls, row.code))}


def with_unknown_keys(now: datetime) -> int:
    """Count the calls of the last 24 hours whose key nobody knows."""
    row, since = RefusalHourRow, now - timedelta(days=1)
    asked = select(func.coalesce(func.sum(row.calls), 0)).where(
        row.workspace_id == PLATFORM_ID, row.hour_start > since, row.code == NotAuthenticated.code
    )
    with transaction(PLATFORM_ID) as session:
        return int(session.execute(asked).scalar_one())
