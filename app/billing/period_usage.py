"""What a period's calls come to, by application and model.

A statement is added up from the ledger itself. A page that only shows how things stand reads the sums
of days, where these are days of the period's own zone.
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.billing import rollup_zones
from app.billing.periods import Period, after
from app.billing.rollups import NO_APPLICATION
from app.extensions import execute
from app.units import start_of_day
from app.wire.usage import METERS

_TOKENS = " + ".join(f"sum({meter})" for meter in METERS)
_LEDGER = text(f"""
    select application_id, model_id, count(*) as calls, ({_TOKENS})::bigint as tokens,
        coalesce(sum(billed_cost), 0) as amount, count(*) filter (where billed_cost is null) as unpriced,
        count(*) filter (where state = 'provisional') as provisional,
        count(*) filter (where usage_source = 'estimated') as estimated
    from usage_event u join charge c using (workspace_id, occurred_at, event_id)
    where u.workspace_id = :workspace and u.occurred_at >= :start and u.occurred_at < :end
        and c.workspace_id = :workspace and c.occurred_at >= :start and c.occurred_at < :end
    group by application_id, model_id""")  # noqa: S608  # made of the names of our own columns
# One row at least: it says by whose days the sums are, also when there are none.
_DAYS = text(f"""
    select z.timezone as built_by, d.* from (values (1)) one(n)
    left join rollup_zone z on z.workspace_id = :workspace
    left join (
        select nullif(application_id, :none) as application_id, model_id, sum(requests) as calls,
            ({_TOKENS})::bigint as tokens, sum(billed_cost) as amount, sum(unpriced) as unpriced,
            sum(provisional) as provisional, sum(estimated) as estimated
        from rollup_day where workspace_id = :workspace and day_start >= :start and day_start < :end
        group by application_id, model_id
    ) d on true""")  # noqa: S608  # made of the names of our own columns


def exact(session: Session, period: Period) -> list[Any]:
    """Add up the ledger: rows of application, model, `calls`, `tokens`, `amount`, `unpriced`, `provisional`, `estimated`."""
    # Where PostgreSQL knows nothing of new rows yet, it would join them by loops, which takes minutes.
    execute(session, "select set_config('enable_nestloop', 'off', true), set_config('work_mem', '32MB', true)")
    values = {"workspace": period.workspace_id, "start": period.start, "end": period.end}
    found = list(session.execute(_LEDGER, values))
    execute(session, "select set_config('enable_nestloop', 'on', true)")
    return found


def quick(session: Session, period: Period) -> list[Any]:
    """Add up the sums of days to the same rows; the ledger where days and period do not fit."""
    if not _is_of_whole_days(period):
        return exact(session, period)
    values = {"workspace": period.workspace_id, "start": period.start, "end": period.end, "none": NO_APPLICATION}
    found = list(session.execute(_DAYS, values))
    if found[0].built_by not in (None, period.timezone):
        return exact(session, period)
    return [row for row in found if row.model_id]


def _is_of_whole_days(period: Period) -> bool:
    in_zone = rollup_zones.load(period.timezone)
    days = start_of_day(period.month, in_zone), start_of_day(after(period.month), in_zone)
    return days == (period.start, period.end)
