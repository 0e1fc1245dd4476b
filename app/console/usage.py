"""The usage page: calls, tokens and money of some days by application, model, key, day or month; and the same as CSV."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, request, url_for

from app.billing import explorer, exports, usage
from app.billing.explorer import GROUPS, Answer, Line, Question
from app.billing.figures import DAY, Figures
from app.billing.labels import UNKNOWN, Label
from app.console import forms, render, usage_form
from app.console.guard import requires
from app.wire.usage import METERS

TEMPLATE = "console/usage.html"
NEXT = {"application": "key", "key": "model", "model": "application", "day": "application", "month": "day"}
"""By what a line is told apart when it is followed."""
SHOWN: dict[str, tuple[str, Callable[[Figures], Decimal | int | None]]] = {
    "cost": ("US dollars", lambda found: found.cost),
    "requests": ("calls", lambda found: found.requests),
    "tokens": ("tokens", lambda found: found.all_tokens),
    "failed": ("failed calls", lambda found: found.failed),
}
"""What the chart can show: its unit, and how it is read."""
blueprint = Blueprint("explorer", __name__, url_prefix="/w/<uuid:workspace_id>")


@blueprint.get("/usage")
@requires("usage.read")
def index(workspace_id: UUID) -> Response:
    """Show the page; its form asks for the report alone."""
    given, question = usage_form.read()
    values: dict[str, Any] = {
        "given": given,
        "periods": usage_form.PERIODS,
        "groups": GROUPS,
        "shown": SHOWN,
        "link": _link,
    }
    if question is None:
        return render.problem(TEMPLATE, block="report", answer=None, labels={}, **values)
    answer = explorer.ask(workspace_id, question)
    unit, value = SHOWN[given.text("show")]
    values |= {
        "labels": answer.labels,
        "filters": _filters(answer),
        "meters": [meter for meter in METERS if answer.total.tokens[meter]],
        "follow": _follow,
        "unit": unit,
        "value": value,
        "plain": exports.plain,
        "as_of": usage.waiting_since(workspace_id),
        "next_url": _link(after=usage_form.written(answer.after)) if answer.after else None,
        "paged": question.after is not None,
    }
    return render.page(TEMPLATE, block="report", answer=answer, **values)


@blueprint.get("/usage.csv")
@requires("usage.export")
def lines(workspace_id: UUID) -> Response:
    """Give the page's lines as CSV: all of them, also those of its further pages."""
    question, flavour = _wanted()
    answer = explorer.ask(workspace_id, replace(question, after=None), size=None)
    exports.note(workspace_id, f"usage by {question.group}", _told(question, flavour))
    return _file(exports.lines(answer, flavour), f"usage-by-{question.group}", question)


@blueprint.get("/usage/calls.csv")
@requires("usage.export")
def calls(workspace_id: UUID) -> Response:
    """Stream every call of the page's days and filter as CSV. Cut short, the answer ends without its last chunk."""
    question, flavour = _wanted()
    export = exports.calls(explorer.scope_of(workspace_id, question, explorer.zone_of(workspace_id)), flavour)
    response = _file(export.chunks, "calls", question)
    response.call_on_close(export.close)
    exports.note(workspace_id, "calls", _told(question, flavour))
    return response


def _wanted() -> tuple[Question, str]:
    """Read what a CSV is asked for; a day that is none is a bad request: there is no form to show it beside."""
    given, question = usage_form.read()
    if question is None:
        abort(400, "; ".join(f"“{name}” {problem}" for name, problem in given.problems.items()))
    return question, usage_form.one_of(exports.FLAVOURS, forms.asked("for"))


def _file(content: bytes | Iterator[bytes], name: str, question: Question) -> Response:
    response = Response(content, content_type="text/csv; charset=utf-8")
    filename = f"{name}-{question.first}-to-{question.last}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response


def _told(question: Question, flavour: str) -> dict[str, str]:
    """What the audit trail says of an export."""
    only = {name: str(one) for name, one in question.only.given.items()}
    return {"from": str(question.first), "to": str(question.last), "flavour": flavour} | only


def _link(endpoint: str = "explorer.index", /, **changes: Any) -> str:
    """Make the address of this question with some of it changed; None leaves a part out."""
    kept = {name: forms.asked(name) for name in usage_form.ASKED} | changes
    given: dict[str, Any] = {name: value for name, value in kept.items() if value not in (None, "")}
    return url_for(endpoint, **(request.view_args or {}), **given)


def _follow(answer: Answer, line: Line) -> str | None:
    """Make the address that looks into a line: its thing as the filter, its days as the span. None: it is the end."""
    group = answer.question.group
    narrower = NEXT[group]
    if line.id is not None:
        return None if line.id in answer.question.only.given.values() else _link(**{"group": narrower, group: line.id})
    if line.start is None:
        return None
    first = line.start.astimezone(answer.zone).date()
    last = first if group == DAY else min(answer.question.last, _last_of_month(first))
    return _link(**{"group": narrower, "from": first, "to": last, "period": None})


def _last_of_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _filters(answer: Answer) -> list[tuple[str, Label, str]]:
    """List what narrows the question: the dimension, its thing's name, and the address without it."""
    only = answer.question.only.given
    return [(name, answer.labels[name].get(one, UNKNOWN), _link(**{name: None})) for name, one in only.items()]
