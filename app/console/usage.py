"""The usage page: calls, tokens and money of some days by any one or two dimensions or by time; and the same as CSV."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, request, url_for

from app.billing import dimensions, explorer, exports, labels, month, questions, ranking, usage
from app.billing.explorer import Answer
from app.billing.figures import DAY, DIMENSIONS, HOUR, Figures
from app.billing.labels import Label
from app.billing.lines import Line
from app.billing.questions import PERIODS, Question
from app.console import forms, render, usage_form
from app.console.guard import requires
from app.wire.usage import METERS

TEMPLATE = "console/usage.html"
NEXT = {
    "application": "key",
    "key": "model",
    "model": "application",
    "member": "key",
    "alias": "provider",
    "provider": "model",
    "status": "model",
    "cost_centre": "application",
    "hour": "application",
    "day": "application",
    "month": "day",
}
"""By what a line is told apart when it is followed."""
TITLES = {"key": "API key", "cost_centre": "Cost centre", "member": "Key owner"}
"""Dimensions whose title is not their name."""
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
        "periods": usage_form.SPANS,
        "title": _title,
        "shown": SHOWN,
        "link": _link,
    }
    if question is None:
        return render.problem(TEMPLATE, block="report", answer=None, labels={}, groups=_groups([]), **values)
    answer = explorer.ask(workspace_id, question)
    unit, value = SHOWN[given.text("show")]
    values |= {
        "labels": answer.labels,
        "groups": _groups(answer.tags),
        "change": _change,
        "filters": _filters(answer),
        "meters": [meter for meter in METERS if answer.total.tokens[meter]],
        "follow": _follow,
        "names": _names([line for line, _ in answer.series]),
        "unit": unit,
        "value": value,
        "plain": exports.plain,
        "as_of": usage.waiting_since(workspace_id),
        "next_url": _link(after=ranking.place_text(answer.after)) if answer.after else None,
        "paged": question.after is not None,
    }
    return render.page(TEMPLATE, block="report", answer=answer, **values)


@blueprint.get("/usage.csv")
@requires("usage.export")
def lines(workspace_id: UUID) -> Response:
    """Give the page's lines as CSV: all of them, also those of its further pages."""
    question, flavour = _wanted()
    answer = explorer.ask(workspace_id, replace(question, after=None), size=explorer.MOST_LINES)
    by = " and ".join(question.groups or (question.group,))
    if answer.after:
        told = f"{answer.count:,} lines by {by} are more than the {explorer.MOST_LINES:,} that a file holds."
        abort(400, f"{told} Filter them, or export every call on the Exports page.")
    exports.note(workspace_id, f"usage by {by}", _told(question, flavour))
    return _file(exports.lines(answer, flavour), f"usage-by-{by}".replace(" ", "-").replace(":", "-"), question)


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
    only = questions.only_address(question.only)
    return {"from": str(question.first), "to": str(question.last), "flavour": flavour} | only


def _link(endpoint: str = "explorer.index", /, **changes: Any) -> str:
    """Make the address of this question with some of it changed; None leaves a part out."""
    kept = {name: forms.asked(name) for name in usage_form.KEPT} | changes
    given: dict[str, Any] = {name: value for name, value in kept.items() if value not in (None, "")}
    return url_for(endpoint, **(request.view_args or {}), **given)


def _follow(answer: Answer, line: Line, place: int = 0) -> str | None:
    """Make the address that looks into a line: its thing as the filter, its days as the span. None: it is the end.

    `place` 1 is the second thing of a pair; each is told apart by the other when it is followed.
    """
    question = answer.question
    if line.values:
        group, value = question.groups[place], line.values[place]
        if group in question.only.given:
            return None
        other = question.groups[1 - place] if question.second else NEXT.get(group, "application")
        return _link(**_filter(group, value), group=other, **{"and": None})
    if line.start is None or question.group == HOUR:
        return None
    first = line.start.astimezone(answer.zone).date()
    last = first if question.group == DAY else min(question.last, _last_of_month(first))
    return _link(**{"group": NEXT[question.group], "from": first, "to": last, "period": None})


def _filter(group: str, value: dimensions.Value) -> dict[str, str]:
    """Say in an address that one value of a dimension counts."""
    if group.startswith(dimensions.TAG):
        return {"tag": f"{group.removeprefix(dimensions.TAG)}:{value}"}
    return {group: dimensions.written(value)}


def _last_of_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _filters(answer: Answer) -> list[tuple[str, Label, str]]:
    """List what narrows the question: the dimension's title, its thing's name, and the address without it."""
    return [
        (_title(name), labels.label(answer.labels, name, one), _link(**dict.fromkeys(_filter(name, one))))
        for name, one in answer.question.only.given.items()
    ]


def _names(lines: list[Line]) -> list[str]:
    """Name the parts of the chart; those of the same name by what tells them apart."""
    seen = Counter(line.label.name for line in lines)
    return [line.full_name if seen[line.label.name] > 1 else line.label.name for line in lines]


def _groups(tags: list[str]) -> list[tuple[str, str]]:
    """List what lines can be told apart by, with titles, tags included; periods come last and cannot be the second."""
    every = (*DIMENSIONS, *(f"{dimensions.TAG}{tag}" for tag in tags), *PERIODS)
    return [(name, _title(name)) for name in every]


def _title(name: str) -> str:
    if name.startswith(dimensions.TAG):
        return f"Tag {name.removeprefix(dimensions.TAG)}"
    return TITLES.get(name, name.capitalize())


def _change(now: Figures, before: Figures | None, value: Callable[[Figures], Decimal | int | None]) -> str:
    """Say by how much a figure changed against the days before; "new" for what was not there, a dash for nothing."""
    is_now, was = value(now), value(before) if before else None
    if is_now is None or (not was and not is_now):
        return "\N{EN DASH}"
    change = month.change_percent(is_now, was)
    return "new" if change is None else f"{change:+,.1f}%".replace("-", "\N{MINUS SIGN}")
