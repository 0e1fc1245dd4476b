"""Reads the usage page's question from its address, and what its chart shows."""

from zoneinfo import ZoneInfo

from flask import request

from app.billing import questions, rollup_zones
from app.billing.questions import ASKED, SPANS, Question, one_of
from app.console import forms
from app.console.forms import Form
from app.console.guard import here
from app.units import utc_now

__all__ = ["KEPT", "SPANS", "one_of", "read"]

CHARTS = ("cost", "requests", "tokens", "failed")
"""What the chart can show."""
KEPT = (*ASKED, "show")
"""What stays in the address from page to page."""


def read() -> tuple[Form, Question | None]:
    """Read the question in the address, and the form as it shows it. None: a day is none, see the problems."""
    words = {name: forms.asked(name) for name in ASKED} | {"after": request.args.get("after", "")}
    asked = questions.read(words, utc_now().astimezone(_zone()).date())
    given = forms.empty(**asked.values, show=one_of(CHARTS, forms.asked("show")))
    given.problems.update(asked.problems)
    return given, asked.question


def _zone() -> ZoneInfo:
    workspace = here().workspace
    return rollup_zones.load(workspace.timezone if workspace else "UTC")
