"""The audit trail of a workspace, the platform's own included: who did what to what, and what was refused."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, url_for

from app.console import forms, render
from app.console.guard import here, requires
from app.logging import entries
from app.logging.entries import Wanted
from app.units import instant_of, zone
from app.workspace import pages

TEMPLATE = "console/audit.html"
KINDS = (
    "account",
    "application",
    "credit",
    "budget",
    "channel",
    "delivery",
    "deployment",
    "export",
    "export_schedule",
    "file",
    "group",
    "invitation",
    "key",
    "mapping",
    "member",
    "period",
    "model",
    "person",
    "price",
    "provider",
    "scim_token",
    "secrets",
    "workspace",
)
OUTCOMES = ("done", "refused", "failed")
TEXTS = ("actor", "action", "kind", "name", "outcome")
DAYS = ("from", "to")
EMPTY: tuple[Any, ...] = (None, "", {})

blueprint = Blueprint("audit", __name__, url_prefix="/w/<uuid:workspace_id>/audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field of what an entry changed. None: there was none on that side."""

    field: str
    before: list[str] | None
    after: list[str] | None


@blueprint.get("")
@requires("audit.read")
def index(workspace_id: UUID) -> Response:
    """List the entries that the filter leaves, the newest first; what waits for its number is among them."""
    given = forms.empty(**{name: forms.asked(name) for name in (*TEXTS, *DAYS)})
    after = _place(forms.asked("after"))
    wanted = _wanted(given)
    found = entries.listed(workspace_id, wanted, after=after, limit=pages.SIZE + 1) if not given.problems else []
    values: dict[str, Any] = {
        "found": pages.cut(found, lambda one: str(one.audit_id)),
        "given": given,
        "asked": {name: given.text(name) for name in (*TEXTS, *DAYS) if given.text(name)},
        "after": after,
        "kinds": KINDS,
        "outcomes": OUTCOMES,
        "list_url": url_for("audit.index", workspace_id=workspace_id),
    }
    status = 422 if given.problems else 200
    return render.page(TEMPLATE, block="rows", status=status, view="list", **values)


@blueprint.get("/<uuid:audit_id>")
@requires("audit.read")
def show(workspace_id: UUID, audit_id: UUID) -> Response:
    """Show one entry: what was changed, before and after side by side."""
    entry = entries.get(workspace_id, audit_id)
    if entry is None:
        abort(404)
    changes = list(differences(entry.before, entry.after))
    return render.page(TEMPLATE, block="entry", view="entry", entry=entry, changes=changes)


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[Difference]:
    """Lay what was and what is beside each other, field by field; fields of fields are named `limits.parallel`.

    Of what was made or removed, fields without a value are left out.
    """
    was, now = _flat(before or {}), _flat(after or {})
    both = bool(before and after)
    for field in sorted({**was, **now}):
        if not both and (was | now)[field] in EMPTY:
            continue
        old = _lines(was[field]) if field in was else None
        new = _lines(now[field]) if field in now else None
        yield Difference(field=field, before=old, after=new)


def _wanted(given: forms.Form) -> Wanted:
    """Read the filter; a day that is none is a problem of its field."""
    first, last = _day(given, "from"), _day(given, "to")
    return Wanted(
        actor=given.text("actor"),
        action=given.text("action"),
        kind=given.text("kind"),
        name=given.text("name"),
        outcome=given.text("outcome"),
        since=_start(first),
        until=_start(last and last + timedelta(days=1)),
    )


def _day(given: forms.Form, name: str) -> date | None:
    raw = given.text(name)
    try:
        day = date.fromisoformat(raw) if raw else None
    except ValueError:
        given.problems[name] = "must be a day such as 2026-05-31"
        return None
    if day and not date(1970, 1, 2) <= day <= date(9000, 1, 1):
        given.problems[name] = "is too far away"
        return None
    return day


def _start(day: date | None) -> datetime | None:
    """Find the instant at which a day begins in the workspace's zone."""
    workspace = here().workspace
    assert workspace
    return datetime.combine(day, time(), zone(workspace.timezone)) if day else None


def _place(raw: str) -> UUID | None:
    """Read where a page begins; what is no place begins at the start."""
    try:
        after = UUID(raw)
        instant_of(after)
    except (ValueError, OverflowError):
        return None
    return after


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        nested = isinstance(value, Mapping) and value
        found |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def _lines(value: Any) -> list[str]:
    """Write a value down; a list has a line for each of its members."""
    if isinstance(value, list):
        return [_word(member) for member in value] or ["none"]
    return [_word(value)]


def _word(value: Any) -> str:
    if value in EMPTY:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_word(inner)}" for name, inner in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
