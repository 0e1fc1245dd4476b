"""`GET /api/v1/usage`: the usage page's lines and totals for programs, from the same figures and with the same names.

`from` and `to` are local days, both included; `group_by` is up to two dimensions, or `hour`, `day` or
`month`; `interval` parts each line by hours, days or months; dimensions narrow down by their names;
`compare=before` adds the days before.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Response, request

from app.api.v1 import answers, door
from app.api.v1.door import blueprint, managed
from app.billing import buckets, dimensions, explorer, questions, ranking, rollup_zones, usage
from app.billing.dimensions import IDS
from app.billing.explorer import Answer
from app.billing.exports import plain
from app.billing.figures import Figures
from app.billing.lines import Line
from app.billing.questions import ASKED, Question
from app.errors import BadRequest
from app.units import utc_now
from app.workspace.workspaces import Workspace

USUAL, MOST = 100, 1_000
MOST_PARTS = 20_000
"""Of all lines of one answer that is parted by an interval."""
KNOWN = ("workspace", "tz", "group_by", *(name for name in ASKED if name not in ("group", "and")), "limit", "after")
CHOICES = {"period": tuple(questions.SPANS), "compare": (questions.BEFORE,), "interval": questions.PERIODS}


@blueprint.get("/usage")
@managed
def read_usage() -> Response:
    """Answer with a page of lines, the total of all of them, and where the next page begins."""
    workspace = door.workspace()
    question = asked(workspace)
    parted = question.interval is not None
    answer = explorer.ask(workspace.workspace_id, question, size=_limit(question, workspace), parted=parted)
    as_of = usage.waiting_since(workspace.workspace_id)
    return answers.one(
        {
            "object": "usage.report",
            "workspace": {"id": str(workspace.workspace_id), "name": workspace.name},
            "from": str(answer.question.first),
            "to": str(answer.question.last),
            "timezone": answer.zone.key,
            "group_by": list(answer.question.groups or (answer.question.group,)),
            "interval": answer.question.interval,
            "filters": questions.only_address(answer.question.only),
            "currency": "USD",
            "total": said(answer.total) | _parts(answer, answer.every if parted else ()),
            **_compared(answer),
            "count": answer.count,
            "data": [_line(answer, line) for line in answer.lines],
            "others": _figures_of(answer, answer.others) if answer.others else None,
            "next": ranking.place_text(answer.after) if answer.after else None,
            "refused": answer.refused,
            "as_of": as_of.astimezone(UTC).isoformat().replace("+00:00", "Z") if as_of else None,
        }
    )


def asked(workspace: Workspace) -> Question:
    """Read the question of the running request; raise `BadRequest` for what is unknown or cannot be meant."""
    given = _given()
    if given.get("tz", workspace.timezone) != workspace.timezone:
        said_why = f"'tz' must be the workspace's own zone, {workspace.timezone}, or left out: days are added up by it."
        raise BadRequest(said_why, param="tz")
    words = _grouped(given)
    _check_choices(words)
    found = questions.read(words, utc_now().astimezone(rollup_zones.load(workspace.timezone)).date())
    for name, problem in found.problems.items():
        raise BadRequest(f"{name!r} {problem}.", param=name)
    if found.question is None:
        raise BadRequest("The days cannot be read.")
    _check_filters(given, found.question)
    return found.question


def _given() -> dict[str, str]:
    """Take the parameters: known ones, each once."""
    for name, values in request.args.lists():
        shown = name[:60]
        if name not in KNOWN:
            raise BadRequest(f"There is no parameter {shown!r}. Known are {', '.join(KNOWN)}.", param=shown)
        if len(values) > 1:
            raise BadRequest(f"{name!r} is given {len(values)} times; it stands once.", param=name)
    return request.args.to_dict()


def _check_choices(given: dict[str, str]) -> None:
    """Refuse values that are none, and parameters that do not go together."""
    for name, values in CHOICES.items():
        if given.get(name) and given[name] not in values:
            raise BadRequest(f"{name!r} must be one of {', '.join(values)}.", param=name)
    if given.get("interval") and given.get("group") in questions.PERIODS:
        raise BadRequest("'interval' parts lines of things; lines of a period are parted already.", param="interval")
    if given.get("period") and (given.get("from") or given.get("to")):
        raise BadRequest("'period' stands for days of its own: leave out 'from' and 'to'.", param="period")


def said(found: Figures) -> dict[str, Any]:
    """Write figures down: counts, tokens by meter, and the exact cost as a text; null where all is unpriced."""
    return {
        "requests": found.requests,
        "failed": found.failed,
        "unpriced": found.unpriced,
        "provisional": found.provisional,
        "estimated": found.estimated,
        "tokens": dict(found.tokens),
        "billed_cost": None if found.cost is None else plain(found.cost),
    }


def _grouped(given: dict[str, str]) -> dict[str, str]:
    """Read `group_by`: one or two dimensions with a comma between them, or a period."""
    groups = [one.strip() for one in given.get("group_by", "").split(",") if one.strip()]
    known = [one for one in groups if one in questions.GROUPS or dimensions.is_known(one)]
    pair_of_period = len(groups) > 1 and set(groups) & set(questions.PERIODS)
    if known != groups or len(groups) > 2 or len(set(groups)) < len(groups) or pair_of_period:
        allowed = ", ".join(questions.GROUPS)
        raise BadRequest(
            f"'group_by' must be one or two of {allowed} or tag:NAME; hour, day and month stand alone.",
            param="group_by",
        )
    return given | dict(zip(("group", "and"), groups, strict=False))


def _check_filters(given: dict[str, str], question: Question) -> None:
    """Refuse a filter that was not understood: the answer would be about more than was asked for."""
    kept = questions.only_address(question.only)
    for name in (*dimensions.DIMENSIONS, "tag"):
        if given.get(name) and name not in kept:
            raise BadRequest(f"{name!r} must be {_kind(name)}.", param=name)
    if given.get("after") and question.after is None:
        raise BadRequest("'after' must be the 'next' of the answer before, or left out.", param="after")


def _kind(name: str) -> str:
    """Say what a filter's value looks like."""
    if name == "tag":
        return "a tag's name and value with a colon between them, such as team:search"
    return "an id" if name in IDS else f"at most {dimensions.LONGEST} characters"


def _limit(question: Question, workspace: Workspace) -> int:
    """Read how many lines a page has; of lines that are parted, only as many as the parts allow."""
    most = MOST
    if question.interval:
        parts = len(buckets.starts_of(question, question.interval, rollup_zones.load(workspace.timezone)))
        most = min(explorer.MOST_NAMED, MOST_PARTS // parts)
    raw = request.args.get("limit", "") or str(min(USUAL, most))
    if not (raw.isascii() and raw.isdigit() and len(raw) < 5 and 1 <= int(raw) <= most):
        beside = f" for these days by {question.interval}" if question.interval else ""
        raise BadRequest(f"'limit' must be a whole number from 1 to {most}{beside}.", param="limit")
    return int(raw)


def _line(answer: Answer, line: Line) -> dict[str, Any]:
    """Write a line down: each dimension with what it is called, or the start of a period; then its figures."""
    if line.start is not None:
        who: dict[str, Any] = {answer.question.group: line.label.name, "start": _local(answer, line.start)}
    else:
        who = {}
        for group, value, label in zip(answer.question.groups, line.values, line.labels, strict=True):
            who[group] = {"id": str(value), "name": label.name} if group in IDS else value
    return who | _figures_of(answer, line)


def _figures_of(answer: Answer, line: Line) -> dict[str, Any]:
    past = {"before": said(line.before)} if line.before else {}
    return said(line.figures) | past | _parts(answer, line.parts)


def _parts(answer: Answer, parts: Sequence[Figures]) -> dict[str, Any]:
    """Write the parts of a line down, each with its start; those without calls are left out."""
    if not parts:
        return {}
    each = zip(answer.buckets, parts, strict=True)
    return {"series": [{"start": _local(answer, start)} | said(one) for (start, _), one in each if one.requests]}


def _local(answer: Answer, start: datetime) -> str:
    return start.astimezone(answer.zone).isoformat()


def _compared(answer: Answer) -> dict[str, Any]:
    if answer.before is None:
        return {}
    first, last = answer.question.days_before
    return {"before": said(answer.before) | {"from": str(first), "to": str(last)}}
