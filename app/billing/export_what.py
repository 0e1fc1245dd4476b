"""What an export holds: its kind, the shape of its file, and which local days."""

from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any

from app.workspace.names import Invalid

CALLS, DAILY, FOCUS, AUDIT = "calls", "daily", "focus", "audit"
KINDS = (CALLS, DAILY, FOCUS, AUDIT)
CSV, SHEET, JSONL = "csv-machine", "csv-spreadsheet", "jsonl"
FORMATS = (CSV, SHEET, JSONL)
SUFFIXES = {CSV: "csv", SHEET: "csv", JSONL: "jsonl"}
GRAINS = ("hour", "day")
SPECS = ("1.4", "1.2")
"""Versions of FOCUS, the usual one first."""
EVERY = ("day", "week", "month")
MOST_DAYS = 800


@dataclass(frozen=True, slots=True, kw_only=True)
class What:
    """An order. Both days are included and meant in the workspace's zone; `grain` and what follows are FOCUS's own.

    `provider_cost`: also what the provider takes, which is for the platform's people alone.
    """

    kind: str
    format: str = CSV
    gzip: bool = False
    first: date
    last: date
    grain: str = "hour"
    spec: str = "1.4"
    provider_cost: bool = False

    @property
    def suffix(self) -> str:
        """How the file's name ends."""
        return SUFFIXES[self.format] + (".gz" if self.gzip else "")

    def stored(self) -> dict[str, Any]:
        """Say it in JSON."""
        return asdict(self) | {"first": self.first.isoformat(), "last": self.last.isoformat()}


def of(stored: dict[str, Any]) -> What:
    """Read an order from JSON."""
    days = {name: date.fromisoformat(stored[name]) for name in ("first", "last")}
    return What(**(stored | days))


def checked(what: What) -> What:
    """Give back an order that can be carried out; raise `Invalid`, naming the field. FOCUS has whole months only."""
    for field, known in (("kind", KINDS), ("format", FORMATS), ("grain", GRAINS), ("spec", SPECS)):
        if getattr(what, field) not in known:
            raise Invalid(field, f"must be one of {', '.join(known)}")
    if what.kind == FOCUS and what.format == SHEET:
        raise Invalid(
            "format", "must be one for programs: FOCUS files are read by programs, which do not expect quotes"
        )
    if what.provider_cost and what.kind != FOCUS:
        raise Invalid("provider_cost", "is in FOCUS files only")
    if what.last < what.first:
        raise Invalid("to", "must not lie before the first day")
    if (what.last - what.first).days >= MOST_DAYS:
        raise Invalid("to", f"must lie within {MOST_DAYS} days")
    return whole_months(what) if what.kind == FOCUS else what


def whole_months(what: What) -> What:
    """Widen the days to whole months."""
    return replace(what, first=what.first.replace(day=1), last=month_after(what.last) - timedelta(days=1))


def month_after(day: date) -> date:
    """Find the first day of the next month."""
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


def days(what: What) -> list[date]:
    """List the days, the first and the last included."""
    return [what.first + timedelta(days=number) for number in range((what.last - what.first).days + 1)]


def last_days(every: str, before: date) -> tuple[date, date]:
    """Find the first and last day of the day, week or month that ended before a day."""
    last = before - timedelta(days=1)
    if every == "month":
        return last.replace(day=1), last
    return (last, last) if every == "day" else (last - timedelta(days=6), last)
