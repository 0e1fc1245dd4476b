"""What a key may use. None is unlimited, 0 is nothing."""

from dataclasses import dataclass
from decimal import Decimal

from app.workspace.names import Invalid

PERIODS = ("hour", "day", "week", "month", "total")
LARGEST = 2_147_483_647
LARGEST_BUDGET = Decimal(9_007_199)
"""Dollars; what fits Redis' exact integers in nano-dollars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A key's limits; `budget_period` is a calendar period in the workspace's zone."""

    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    parallel: int | None = None
    budget_usd: Decimal | None = None
    budget_period: str | None = None

    def unenforced(self) -> tuple[str, ...]:
        """Name the limits that are set and stored, but not yet held when a call comes."""
        values = {"tokens_per_min": self.tokens_per_min, "parallel": self.parallel, "budget": self.budget_usd}
        return tuple(name for name, value in values.items() if value is not None)


def check_count(name: str, count: int | None) -> None:
    """Raise `Invalid` for a limit below 0 or too large to store."""
    if count is not None and not 0 <= count <= LARGEST:
        raise Invalid(name, f"must be a whole number from 0 (nothing) to {LARGEST}; leave it out for no limit")


def check(limits: Limits) -> Limits:
    """Give the limits back, or raise `Invalid`."""
    for name in ("requests_per_min", "tokens_per_min", "parallel"):
        check_count(name, getattr(limits, name))
    if (limits.budget_usd is None) != (limits.budget_period is None):
        raise Invalid("budget", "needs both usd and period")
    if limits.budget_usd is not None and not Decimal(0) <= limits.budget_usd <= LARGEST_BUDGET:
        raise Invalid("budget", f"must be from 0 to {LARGEST_BUDGET} dollars")
    if limits.budget_period is not None and limits.budget_period not in PERIODS:
        raise Invalid("budget", f"period must be one of {', '.join(PERIODS)}")
    return limits
