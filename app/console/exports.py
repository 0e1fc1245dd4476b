"""Exports: files of calls, daily usage, FOCUS and the audit trail, made once or again and again; and the way to each file."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, send_file, url_for
from redis.exceptions import RedisError

from app.auth import permissions, users
from app.billing import export_files, export_links, export_orders, export_schedules, export_upkeep, export_what
from app.billing.export_orders import Export
from app.billing.export_what import AUDIT, What
from app.console import forms, origin, render
from app.console.forms import Form
from app.console.guard import check_place, here, here_or_none, open_to_all, requires
from app.extensions import LONG_QUEUE, queue, settings
from app.units import utc_now, zone
from app.workspace import members
from app.workspace.names import Invalid

TEMPLATE = "console/exports.html"
KINDS = {
    "calls": ("Calls", "Every call, with its tokens, prices and cost."),
    "daily": ("Daily usage", "The sums of each day, application, key and model."),
    "focus": ("FOCUS", "Whole months of the bill as FinOps tools read it."),
    "audit": ("Audit trail", "Who did what, and what was refused."),
}
FORMATS = {"csv-machine": "CSV for programs", "csv-spreadsheet": "CSV for spreadsheets", "jsonl": "JSON lines"}
EVERY = {"day": "Every day", "week": "Every week", "month": "Every month"}
EXPIRED = "This link has expired. Links to exports work for 15 minutes; open the export for a new one."
NO_FILE = "This export has no file any more. Files are kept for 7 days; order it again."

blueprint = Blueprint("exports", __name__)
_HERE = "/w/<uuid:workspace_id>/exports"


@blueprint.get(_HERE)
@requires("exports.read")
def index(workspace_id: UUID) -> Response:
    """List what was exported, the newest first, and what is scheduled."""
    after = _uuid(forms.asked("after"))
    found = export_orders.page(workspace_id, after=after)
    schedules = export_schedules.of(workspace_id) if after is None else []
    people = users.of({one.created_by for one in found.items if one.created_by})
    values: dict[str, Any] = {"found": found, "after": after, "schedules": schedules, "people": people}
    return render.page(TEMPLATE, block="rows", view="list", **values, **_about(workspace_id))


@blueprint.get(f"{_HERE}/new")
@requires("exports.order")
def new(workspace_id: UUID) -> Response:
    """Show the empty form."""
    month = utc_now().astimezone(zone(_timezone())).date().replace(day=1)
    first, last = (month - timedelta(days=1)).replace(day=1), month - timedelta(days=1)
    given = forms.empty(
        new_id=str(forms.fresh_id()), **{"from": first.isoformat()}, to=last.isoformat(), kind=forms.asked("kind")
    )
    return render.page(TEMPLATE, block="form", view="new", given=given, **_about(workspace_id))


@blueprint.post(_HERE)
@requires("exports.order")
def create(workspace_id: UUID) -> Response:
    """Order an export, once or by a schedule."""
    form = forms.sent()
    own, every = forms.row_id(workspace_id, form), form.text("every")
    what = _what(form, needs_days=not every)
    if what and not form.problems:
        with form.refusals():
            if every:
                name, now = form.text("name"), utc_now()
                by = here().person.user_id
                export_schedules.create(workspace_id, name, what, every, schedule_id=own, by=by, now=now)
                return render.leave(_list(workspace_id), toast="The export is scheduled.")
            _place(workspace_id, own, what)
            return render.leave(_one(workspace_id, own), toast="The export is ordered.")
    return render.problem(TEMPLATE, block="form", view="new", given=form, **_about(workspace_id))


@blueprint.get(f"{_HERE}/<uuid:export_id>")
@requires("exports.read")
def show(workspace_id: UUID, export_id: UUID) -> Response:
    """Show one export: how far it is, what is in it, and the way to its file."""
    export = export_orders.get(workspace_id, export_id)
    by = users.of([export.created_by]).get(export.created_by) if export.created_by else None
    link = _link(export) if export.file and _may_take(export) else None
    values: dict[str, Any] = {"export": export, "by": by, "link": link}
    return render.page(TEMPLATE, block="export", view="export", **values, **_about(workspace_id))


@blueprint.post(f"{_HERE}/<uuid:export_id>/cancel")
@requires("exports.order")
def cancel(workspace_id: UUID, export_id: UUID) -> Response:
    """Cancel an export that waits or runs."""
    try:
        export_orders.cancel(workspace_id, export_id)
    except Invalid as refused:
        return render.leave(_one(workspace_id, export_id), toast=f"The export {refused.problem}.", tone="warning")
    return render.leave(_one(workspace_id, export_id), toast="The export is cancelled.")


@blueprint.post(f"{_HERE}/<uuid:export_id>/again")
@requires("exports.order")
def again(workspace_id: UUID, export_id: UUID) -> Response:
    """Order the same once more, with what is there now."""
    what, own = export_orders.get(workspace_id, export_id).what, forms.fresh_id()
    try:
        _check_kind(what)
        _place(workspace_id, own, what)
    except Invalid as refused:
        return render.leave(_one(workspace_id, export_id), toast=f"The export {refused.problem}.", tone="warning")
    return render.leave(_one(workspace_id, own), toast="The export is ordered.")


@blueprint.get(f"{_HERE}/<uuid:export_id>/download")
@requires("exports.read")
def download(workspace_id: UUID, export_id: UUID) -> Response:
    """Lead to the file by a link that works for a while."""
    export = export_orders.get(workspace_id, export_id)
    if not _may_take(export):
        abort(403)
    if not export.file:
        return render.leave(_one(workspace_id, export_id), toast=NO_FILE, tone="warning")
    return render.leave(_link(export))


@blueprint.post(f"{_HERE}/schedules/<uuid:schedule_id>/pause")
@requires("exports.order")
def pause(workspace_id: UUID, schedule_id: UUID) -> Response:
    """Let a schedule rest."""
    export_schedules.set_enabled(workspace_id, schedule_id, False, now=utc_now())
    return render.leave(_list(workspace_id), toast="The schedule is paused.")


@blueprint.post(f"{_HERE}/schedules/<uuid:schedule_id>/resume")
@requires("exports.order")
def resume(workspace_id: UUID, schedule_id: UUID) -> Response:
    """Let a schedule go on."""
    export_schedules.set_enabled(workspace_id, schedule_id, True, now=utc_now())
    return render.leave(_list(workspace_id), toast="The schedule goes on.")


@blueprint.post(f"{_HERE}/schedules/<uuid:schedule_id>/delete")
@requires("exports.order")
def delete(workspace_id: UUID, schedule_id: UUID) -> Response:
    """Delete a schedule; its files stay."""
    export_schedules.delete(workspace_id, schedule_id)
    return render.leave(_list(workspace_id), toast="The schedule is deleted.")


@blueprint.get("/exports/<link>")
@open_to_all
def take(link: str) -> Response:
    """Give a file to whoever has its link, while it works and its maker may take it. Somebody signed in must be allowed to himself."""
    found = export_links.read(link, now=utc_now())
    if found is None:
        abort(400, EXPIRED)
    export = export_orders.get(found.workspace_id, found.export_id)
    visitor = here_or_none()
    for user_id in {found.user_id, visitor.person.user_id if visitor else found.user_id}:
        _check_person(user_id, export)
    path = export_files.path_of(settings().home, export.file or "")
    if not export.file or not path.is_file():
        abort(400, NO_FILE)
    maker = users.of([found.user_id]).get(found.user_id)
    export_orders.took(found.workspace_id, found.export_id, link_of=maker.email if maker else str(found.user_id))
    packed = export.what.gzip
    kind = "application/gzip" if packed else _content_type(export.what)
    return send_file(path, mimetype=kind, as_attachment=True, download_name=export.filename, conditional=False)


def _place(workspace_id: UUID, export_id: UUID, what: What) -> None:
    """Order an export and have a job make it; while the queue is away, the worker finds it later."""
    export_orders.place(workspace_id, what, export_id=export_id, as_of=utc_now(), by=here().person.user_id)
    try:
        export_upkeep.start(export_id, queue(LONG_QUEUE))
    except RedisError:
        return


def _what(form: Form, *, needs_days: bool) -> What | None:
    """Read an order. None: a day is missing or is none."""
    first, last = (_day(form, name, needs_days) for name in ("from", "to"))
    if form.problems or first is None or last is None:
        return None
    what = What(kind=form.text("kind"), format=form.text("format") or "csv-machine", first=first, last=last)
    what = replace(what, grain=form.text("grain") or what.grain, spec=form.text("spec") or what.spec)
    what = replace(what, gzip=form.text("gzip") == "yes", provider_cost=form.text("provider_cost") == "yes")
    with form.refusals():
        _check_kind(what)
        return export_what.checked(what)
    return None


def _check_kind(what: What) -> None:
    """Refuse what the person may not take away himself."""
    if what.kind == AUDIT and not here().may("audit.read"):
        raise Invalid("kind", "is not for your role: only owners and admins read the audit trail")
    if what.provider_cost and not here().may(_permission(what)):
        raise Invalid("provider_cost", "is for the platform's people alone")


def _day(form: Form, name: str, needed: bool) -> date | None:
    if not needed:
        return date(2026, 1, 1)
    try:
        day = date.fromisoformat(form.text(name))
    except ValueError:
        day = date.min
    if not date(2020, 1, 1) <= day < date(2100, 1, 1):
        form.problems[name] = "must be a day such as 2026-05-31"
        return None
    return day


def _may_take(export: Export) -> bool:
    return here().may(_permission(export.what))


def _permission(what: What) -> str:
    """Name what one must be allowed to take a file away."""
    if what.provider_cost:
        return "platform.read"
    return "audit.read" if what.kind == AUDIT else "usage.export"


def _check_person(user_id: UUID, export: Export) -> None:
    """Refuse a person who may not take an export away, or not from this network."""
    account = users.active(user_id)
    place = members.place_of(export.workspace_id, user_id)
    if account is None or place is None:
        abort(403)
    roles = permissions.roles_of(account.platform_role, place.role, in_workspace=True)
    if not permissions.allows(roles, _permission(export.what)):
        abort(403)
    check_place(place.workspace)


def _link(export: Export) -> str:
    word = export_links.make(export.workspace_id, export.export_id, here().person.user_id, now=utc_now())
    return url_for("exports.take", link=word)


def _content_type(what: What) -> str:
    return "application/x-ndjson" if what.format == export_what.JSONL else "text/csv"


def _about(workspace_id: UUID) -> dict[str, Any]:
    kinds = {name: told for name, told in KINDS.items() if name != AUDIT or here().may("audit.read")}
    about = {"kinds": KINDS, "may_order": kinds, "formats": FORMATS, "every": EVERY, "now": utc_now()}
    return about | {"list_url": _list(workspace_id), "may_take": _may_take, "absolute": origin.absolute}


def _list(workspace_id: UUID) -> str:
    return url_for("exports.index", workspace_id=workspace_id)


def _one(workspace_id: UUID, export_id: UUID) -> str:
    return url_for("exports.show", workspace_id=workspace_id, export_id=export_id)


def _timezone() -> str:
    workspace = here().workspace
    return workspace.timezone if workspace else "UTC"


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
