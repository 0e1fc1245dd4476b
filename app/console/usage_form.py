"""Reads the usage page's question from its address: days, filter, what tells the lines apart, where a page begins."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from app.billing import exports, rollup_zones
from app.billing.explorer import GROUPS, MOST_DAYS, Question
from app.billing.figures import DIMENSIONS, Only
from app.billing.ranking import Place
from app.console import forms
from app.console.forms import Form
from app.console.guard import here
from app.units import utc_now

PERIODS = {
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "7 days",
    "30d": "30 days",
    "month": "This month",
    "last-month": "Last month",
}
USUAL_PERIOD = "month"
CHARTS = ("cost", "requests", "tokens", "failed")
"""What the chart can show."""
EARLIEST, LATEST = date(2020, 1, 1), date(2100, 1, 1)
PLACE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?~[0-9]{1,18}~[0-9a-f-]{36}")
ASKED = ("group", "period", "from", "to", "application", "model", "key", "show")


def read() -> tuple[Form, Question | None]:
    """Read the question in the address, and the form as it shows it. None: a day is none, see the problems."""
    given = forms.empty(**{name: forms.asked(name) for name in ASKED})
    given.values["group"] = one_of(GROUPS, given.text("group"))
    given.values["show"] = one_of(CHARTS, given.text("show"))
    first, last = _days(given)
    if first is None or last is None:
        return given, None
    given.values["from"], given.values["to"] = first.isoformat(), last.isoformat()
    only = Only(**{name: _uuid(given.text(name)) for name in DIMENSIONS})
    after = _place(forms.asked("after"))
    return given, Question(group=given.text("group"), first=first, last=last, only=only, after=after)


def _days(given: Form) -> tuple[date | None, date | None]:
    """Find the first and last day: those that are given, else a period's. What is wrong is noted beside its field."""
    today = utc_now().astimezone(_zone()).date()
    first, last = _day(given, "from"), _day(given, "to")
    if given.problems:
        return None, None
    if not given.text("from") and not given.text("to"):
        given.values["period"] = given.text("period") if given.text("period") in PERIODS else USUAL_PERIOD
        return period_of(given.text("period"), today)
    given.values["period"] = ""
    last = last or max(today, first or today)
    first = first or last
    if last < first:
        given.problems["to"] = "must not lie before the first day"
    elif (last - first).days >= MOST_DAYS:
        given.problems["to"] = f"must lie within {MOST_DAYS} days"
    return (None, None) if given.problems else (first, last)


def period_of(period: str, today: date) -> tuple[date, date]:
    """Find a period's first and last day."""
    month = today.replace(day=1)
    before = month - timedelta(days=1)
    return {
        "today": (today, today),
        "yesterday": (today - timedelta(days=1), today - timedelta(days=1)),
        "7d": (today - timedelta(days=6), today),
        "30d": (today - timedelta(days=29), today),
        "month": (month, today),
        "last-month": (before.replace(day=1), before),
    }[period]


def _day(given: Form, name: str) -> date | None:
    raw = given.text(name)
    if not raw:
        return None
    try:
        day = date.fromisoformat(raw)
    except ValueError:
        day = LATEST
    if not EARLIEST <= day < LATEST:
        given.problems[name] = "must be a day such as 2026-05-31"
    return day


def written(after: Place) -> str:
    """Write where a page begins, as an address has it."""
    return f"{exports.plain(after.billed)}~{after.requests}~{after.id}"


def _place(text: str) -> Place | None:
    """Read where a page begins; None for what is no place."""
    billed, _, rest = text.partition("~")
    requests, _, one = rest.partition("~")
    try:
        return Place(billed=Decimal(billed), requests=int(requests), id=UUID(one)) if PLACE.fullmatch(text) else None
    except ValueError:
        return None


def _zone() -> ZoneInfo:
    workspace = here().workspace
    return rollup_zones.load(workspace.timezone if workspace else "UTC")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def one_of(known: Sequence[str], asked: str) -> str:
    """Give back what is asked for when it is known, else the first."""
    return asked if asked in known else known[0]
