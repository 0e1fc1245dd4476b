"""What budgets can be: what they apply to, their periods, limits and thresholds, and what happens at the limit. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from app.units import day_of, local_hour_of, month_of, start_of_day
from app.workspace import names
from app.workspace.names import Invalid

WHOLE = "workspace"
"""The scope that is about nothing in particular."""
SCOPES = (WHOLE, "application", "key", "model")
PERIODS = ("hour", "day", "week", "month", "total")
ACTIONS = ("notify", "downgrade", "block")
THRESHOLDS = (50, 80, 100)
LARGEST = Decimal(9_007_199)
DECIMALS = 6
MOST_THRESHOLDS, HIGHEST_THRESHOLD = 10, 1000
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""When the period of a budget for all time began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What may change of a budget."""

    name: str
    limit_usd: Decimal
    thresholds: tuple[int, ...] = THRESHOLDS
    action: str = "notify"
    downgrade_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A budget. `scope_id` is None for the whole workspace; `acting_since` None: it lets calls pass."""

    budget_id: UUID
    scope: str
    scope_id: UUID | None
    period: str
    rule: Rule
    created_at: datetime
    acting_since: datetime | None
    acting_until: datetime | None

    def acts_at(self, instant: datetime) -> bool:
        """Tell whether it blocks or downgrades calls; that ends with its period, also while the worker rests."""
        return self.acting_since is not None and (self.acting_until is None or instant < self.acting_until)


def period_of(period: str, instant: datetime, in_zone: ZoneInfo) -> tuple[datetime, datetime | None]:
    """Find the period around an instant: its first instant and the next one's; None for the end of all time."""
    if period == "hour":
        start = local_hour_of(instant, in_zone)
        return start, start + timedelta(hours=1)
    if period == "month":
        return month_of(instant, in_zone)
    if period == "total":
        return BEGINNING, None
    today = instant.astimezone(in_zone).date()
    first = today if period == "day" else today - timedelta(days=today.weekday())
    after = first + timedelta(days=1 if period == "day" else 7)
    start = day_of(instant, in_zone) if period == "day" else start_of_day(first, in_zone)
    return start, start_of_day(after, in_zone)


def reached(rule: Rule, spent: Decimal) -> list[int]:
    """List the thresholds that an amount has reached; of a limit of 0 none while nothing was spent."""
    if not spent:
        return []
    return [percent for percent in rule.thresholds if spent * 100 >= rule.limit_usd * percent]


def check(rule: Rule) -> None:
    """Raise `Invalid` for a rule that cannot be."""
    names.check("name", rule.name)
    if not 0 <= rule.limit_usd <= LARGEST or rule.limit_usd != round(rule.limit_usd, DECIMALS):
        raise Invalid("limit", f"must be 0 to {LARGEST:,} dollars, with at most {DECIMALS} decimals")
    _check_thresholds(rule.thresholds)
    if rule.action not in ACTIONS:
        raise Invalid("action", "is none that a budget can take")
    if (rule.action == "downgrade") != bool(rule.downgrade_to):
        raise Invalid("downgrade_to", "must be the model that calls go to instead")


def check_place(scope: str, scope_id: UUID | None, period: str) -> None:
    if scope not in SCOPES or (scope == WHOLE) != (scope_id is None):
        raise Invalid("scope", "is nothing that a budget can be about")
    if period not in PERIODS:
        raise Invalid("period", "is no period of budgets")


def _check_thresholds(thresholds: Sequence[int]) -> None:
    if not 1 <= len(thresholds) <= MOST_THRESHOLDS or list(thresholds) != sorted(set(thresholds)):
        raise Invalid("thresholds", f"must be 1 to {MOST_THRESHOLDS} different percentages, the lowest first")
    if not all(1 <= percent <= HIGHEST_THRESHOLD for percent in thresholds):
        raise Invalid("thresholds", f"must be percentages from 1 to {HIGHEST_THRESHOLD}")
