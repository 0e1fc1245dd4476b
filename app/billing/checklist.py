"""The checklist of a month: what to look at before it is closed, and what stands in the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from app.billing import retention, usage
from app.billing.periods import Period
from app.extensions import execute
from app.workspace.names import Invalid

PERCENT = Decimal(100)

_RUNS = """
    select count(*) from rating_run where workspace_id = :workspace and kind = 'apply' and state in ('waiting', 'running')
        and since < :end and until > :start"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """How a month's calls stand. `complete_until`: what was settled before is in the ledger; None: Redis cannot say."""

    complete_until: datetime | None
    is_waiting: bool
    calls: int
    unpriced: int
    provisional: int
    estimated: int
    runs: int

    def percent(self, count: int) -> Decimal | None:
        """Say how many of a hundred calls these are; None without calls."""
        return count * PERCENT / self.calls if self.calls else None


def of(session: Session, period: Period, found: Sequence[Any], *, now: datetime) -> Checklist:
    """Go through a period. `found` is what its calls come to (see `period_usage`)."""
    oldest = usage.waiting_since(period.workspace_id)
    counts = {name: sum(int(getattr(row, name)) for row in found) for name in ("calls", "unpriced")}
    shares = {name: sum(int(getattr(row, name)) for row in found) for name in ("provisional", "estimated")}
    return Checklist(
        complete_until=oldest,
        is_waiting=oldest is not None and oldest < now,
        runs=_runs(session, period),
        **counts,
        **shares,
    )


def check(session: Session, period: Period, found: Sequence[Any], *, unpriced_confirmed: bool) -> None:
    """Raise `Invalid` while a recompute of the period runs, or while calls are unpriced and nobody has accepted that."""
    if _runs(session, period):
        raise Invalid("month", "is being recomputed. Close it when the recompute has ended.")
    unpriced = sum(int(row.unpriced) for row in found)
    if unpriced and not unpriced_confirmed:
        who = "1 call has" if unpriced == 1 else f"{unpriced} calls have"
        raise Invalid("unpriced", f"must be confirmed: {who} no price and would be billed nothing")


def check_kept(session: Session, period: Period) -> None:
    """Raise `Invalid` when calls of the period may be gone: what is left in the ledger is no bill."""
    kept = retention.kept_since_in(session)
    if kept and period.start < kept:
        raise Invalid("month", f"{period.name} stays as it is: calls of it are past their retention")


def _runs(session: Session, period: Period) -> int:
    found = execute(session, _RUNS, workspace=period.workspace_id, start=period.start, end=period.end)
    return int(found.scalar() or 0)
