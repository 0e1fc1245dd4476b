"""Questions about usage, as an address asks them: the page's, the CSV's and the API's are read here alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from app.billing import dimensions
from app.billing.dimensions import DIMENSIONS, EVERYTHING, Only
from app.billing.figures import DAY, HOUR, MONTH
from app.billing.ranking import Place, read_place

PERIODS = (HOUR, DAY, MONTH)
GROUPS = (*DIMENSIONS, *PERIODS)
MOST_DAYS, MOST_HOURLY_DAYS = 400, 7
SPANS = {
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "7 days",
    "30d": "30 days",
    "month": "This month",
    "last-month": "Last month",
}
USUAL_SPAN = "month"
EARLIEST, LATEST = date(2020, 1, 1), date(2100, 1, 1)
BEFORE = "before"
ASKED = ("group", "and", "interval", "period", "from", "to", "compare", *DIMENSIONS, "tag")
"""The names in an address that make a question; `after` is where its page begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: which calls of which local days, both ends included, told apart by what.

    `second` tells the lines apart further. `interval`: by what the chart has bars; None: as fits the days.
    `compare`: beside the days before.
    """

    group: str
    second: str | None = None
    interval: str | None = None
    first: date
    last: date
    only: Only = EVERYTHING
    compare: bool = False
    after: Place | None = None

    @property
    def days(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1

    @property
    def groups(self) -> tuple[str, ...]:
        """The dimensions that tell the lines apart; none for periods."""
        if self.group in PERIODS:
            return ()
        return (self.group, self.second) if self.second else (self.group,)

    @property
    def days_before(self) -> tuple[date, date]:
        """The days that these are compared with: as many months or days, or the same days of the month before."""
        if self.first.day == 1 and (self.last + timedelta(days=1)).day == 1:
            months = (self.last.year - self.first.year) * 12 + self.last.month - self.first.month + 1
            return _months_before(self.first, months), self.first - timedelta(days=1)
        if self.first.day == 1 and self.last.replace(day=1) == self.first:
            before = _months_before(self.first, 1)
            return before, min(before + timedelta(days=self.days - 1), self.first - timedelta(days=1))
        return self.first - timedelta(days=self.days), self.first - timedelta(days=1)


@dataclass(slots=True)
class Asked:
    """What an address asks: the values as they were understood, and what is wrong with them by name."""

    values: dict[str, str]
    problems: dict[str, str] = field(default_factory=dict)
    question: Question | None = None


def read(given: Mapping[str, str], today: date) -> Asked:
    """Read a question. What is unknown is left out; days that cannot be meant are problems, and then there is none."""
    asked = Asked({name: given.get(name, "") for name in ASKED})
    values = asked.values
    values["group"] = values["group"] if _is_group(values["group"]) else GROUPS[0]
    second = values["and"]
    if values["group"] in PERIODS or second == values["group"] or not dimensions.is_known(second):
        values["and"] = ""
    if values["group"] in PERIODS or values["interval"] not in PERIODS:
        values["interval"] = ""
    values["compare"] = BEFORE if values["compare"] == BEFORE else ""
    first, last = _days(asked, today)
    if first is None or last is None:
        return asked
    values["from"], values["to"] = first.isoformat(), last.isoformat()
    asked.question = Question(
        group=values["group"],
        second=values["and"] or None,
        interval=values["interval"] or None,
        first=first,
        last=last,
        only=_only(values),
        compare=bool(values["compare"]),
        after=read_place(given.get("after", "")),
    )
    return asked


def span_of(period: str, today: date) -> tuple[date, date]:
    """Find the first and last day of a span that has a name; of an unknown one, this month's."""
    month = today.replace(day=1)
    before = month - timedelta(days=1)
    known = {
        "today": (today, today),
        "yesterday": (today - timedelta(days=1), today - timedelta(days=1)),
        "7d": (today - timedelta(days=6), today),
        "30d": (today - timedelta(days=29), today),
        "month": (month, today),
        "last-month": (before.replace(day=1), before),
    }
    return known.get(period, known[USUAL_SPAN])


def only_address(only: Only) -> dict[str, str]:
    """Write what a question is narrowed down to, as an address has it."""
    found: dict[str, str] = {}
    for name, value in only.given.items():
        if name.startswith(dimensions.TAG):
            found["tag"] = f"{name.removeprefix(dimensions.TAG)}:{value}"
        else:
            found[name] = dimensions.written(value)
    return found


def _is_group(name: str) -> bool:
    return name in PERIODS or dimensions.is_known(name)


def _only(values: dict[str, str]) -> Only:
    known: dict[str, Any] = {name: dimensions.read(name, values[name]) for name in DIMENSIONS if values[name]}
    name, colon, value = values["tag"].partition(":")
    is_tag = colon and dimensions.is_known(f"{dimensions.TAG}{name}") and len(value) <= dimensions.LONGEST
    return Only(**known, tag=(name, value) if is_tag and "\0" not in values["tag"] else None)


def _days(asked: Asked, today: date) -> tuple[date | None, date | None]:
    """Find the first and last day: those that are given, else a span's. What is wrong is noted beside its name."""
    values, problems = asked.values, asked.problems
    first, last = _day(asked, "from"), _day(asked, "to")
    if problems:
        return None, None
    if first is None and last is None:
        values["period"] = values["period"] if values["period"] in SPANS else USUAL_SPAN
        first, last = span_of(values["period"], today)
    else:
        values["period"] = ""
        last = last or max(today, first or today)
        first = first or last
    hourly = HOUR in (values["group"], values["interval"])
    most = MOST_HOURLY_DAYS if hourly else MOST_DAYS
    if last < first:
        problems["to"] = "must not lie before the first day"
    elif (last - first).days >= most:
        problems["to"] = f"must lie within {most} days of the first day" + (" to show hours" if hourly else "")
    return (None, None) if problems else (first, last)


def _day(asked: Asked, name: str) -> date | None:
    raw = asked.values[name]
    if not raw:
        return None
    try:
        day = date.fromisoformat(raw)
    except ValueError:
        day = LATEST
    if not EARLIEST <= day < LATEST:
        asked.problems[name] = "must be a day such as 2026-05-31"
    return day


def one_of(known: Sequence[str], asked: str) -> str:
    """Give back what is asked for when it is known, else the first."""
    return asked if asked in known else known[0]


def _months_before(day: date, months: int) -> date:
    """Find the first day of the month so many months before a day's own."""
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)
