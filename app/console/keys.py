"""API keys: the list, making one, its page, its rotation and its end. A secret is in one answer only."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, request, url_for

from app.application import applications, key_list, keys, rotation
from app.application.key_list import Listed, Wanted
from app.application.keys import ALL_MODELS, MadeBefore
from app.auth import key_owners, token_issuers, users
from app.auth.callers import MANAGEMENT
from app.billing import recent
from app.console import forms, key_form, origin, render
from app.console.guard import here, requires
from app.model import models
from app.units import utc_now
from app.workspace import pages
from app.workspace.names import NotFound

TEMPLATE = "console/keys.html"
BY_FILE = "A configuration file manages this key. Change it there."
NOT_YOURS = "A management key reads all usage of the workspace. Those who may export usage change it."
STALE_DAYS = ("30", "90")
OVERLAPS = (
    ("0", "Stop it at once"),
    ("1", "Keep it for 1 hour"),
    ("24", "Keep it for 1 day"),
    ("168", "Keep it for 7 days"),
    ("720", "Keep it for 30 days"),
)
"""Hours for which the old secret goes on after a rotation."""

blueprint = Blueprint("keys", __name__, url_prefix="/w/<uuid:workspace_id>/keys")


@blueprint.get("")
@requires("keys.read")
def index(workspace_id: UUID) -> Response:
    """List keys: the active ones, the revoked ones, or the active ones that nobody has used for long."""
    now, unused = utc_now(), forms.asked("unused")
    state = "revoked" if forms.asked("state") == "revoked" else "active"
    wanted = Wanted(search=forms.asked("q"), state=state, application_id=_uuid(forms.asked("application")))
    after = _uuid(forms.asked("after"))
    stale = unused if unused in STALE_DAYS and state == "active" else ""
    if stale:
        wanted = _only_stale(workspace_id, wanted, since=now - timedelta(days=int(stale)), after=after)
    found = key_list.page(workspace_id, wanted, now=now, after=after)
    last_used = recent.last_used(workspace_id, [one.key.key_id for one in found.items])
    owners = users.of({one.key.owner_id for one in found.items if one.key.owner_id})
    values: dict[str, Any] = {"found": found, "wanted": wanted, "stale": stale, "now": now, "after": after}
    return render.page(TEMPLATE, block="rows", view="list", last_used=last_used, owners=owners, **values)


@blueprint.get("/new")
@requires("keys.manage")
def new(workspace_id: UUID) -> Response:
    """Show the empty form, with the application that the person comes from."""
    application = forms.asked("application")
    given = forms.empty(new_id=str(forms.fresh_id()), application=application, models=ALL_MODELS)
    return render.page(TEMPLATE, block="form", view="new", given=given, **_choices(workspace_id))


@blueprint.post("")
@requires("keys.manage")
def create(workspace_id: UUID) -> Response:
    """Make a key and show its secret, this once."""
    form = forms.sent()
    key_id = forms.row_id(workspace_id, form)
    wanted = key_form.read(form, _zone())
    application_id = _uuid(form.text("application"))
    if application_id is None:
        form.problems["application"] = "choose the application that will use the key"
    if not form.problems:
        with form.refusals():
            try:
                made = key_form.make(workspace_id, application_id, key_id, wanted)
                return _show_secret(workspace_id, made.key_id, made.secret)
            except MadeBefore:
                said = "This key was made a moment ago. Its secret was shown then."
                return render.leave(_address(workspace_id, key_id), toast=said, tone="info")
            except NotFound:
                form.problems["application"] = "is none of this workspace"
    return render.problem(TEMPLATE, block="form", view="new", given=form, **_choices(workspace_id))


@blueprint.get("/<uuid:key_id>")
@requires("keys.read")
def show(workspace_id: UUID, key_id: UUID) -> Response:
    """Show one key, with its form; the countdown of an old secret asks for itself again."""
    found = key_list.get(workspace_id, key_id, now=utc_now())
    block = "overlap" if request.headers.get("HX-Target") == "overlap" else "form"
    return render.page(
        TEMPLATE, block=block, view="show", given=key_form.of(found.key, _zone()), **_page(workspace_id, found)
    )


@blueprint.post("/<uuid:key_id>")
@requires("keys.manage")
def edit(workspace_id: UUID, key_id: UUID) -> Response:
    """Change what the form has and leave every other limit as it is."""
    found = _editable(workspace_id, key_id)
    form = forms.sent()
    wanted = key_form.read(form, _zone(), found.key)
    if not form.problems:
        with form.refusals():
            key_owners.update(workspace_id, key_id, **wanted)
            return render.done(to=_address(workspace_id, key_id), toast="Saved. Proxies know within a second.")
    return render.problem(TEMPLATE, block="form", view="show", given=form, **_page(workspace_id, found))


@blueprint.get("/<uuid:key_id>/rotate")
@requires("keys.manage")
def confirm_rotate(workspace_id: UUID, key_id: UUID) -> Response:
    """Ask how long the old secret goes on."""
    about = _about(_with_secret(workspace_id, key_id))
    return render.page(TEMPLATE, block="rotate", view="rotate", given=forms.empty(overlap="24"), **about)


@blueprint.post("/<uuid:key_id>/rotate")
@requires("keys.manage")
def rotate(workspace_id: UUID, key_id: UUID) -> Response:
    """Give the key a new secret and show it, this once."""
    found = _with_secret(workspace_id, key_id)
    form, now = forms.sent(), utc_now()
    hours, revision = form.whole("overlap"), form.whole("revision")
    if revision is None or form.text("overlap") not in dict(OVERLAPS):
        form.problems["overlap"] = "choose how long the old secret goes on"
        return render.problem(TEMPLATE, block="rotate", view="rotate", given=form, **_about(found))
    overlap = timedelta(hours=hours or 0)
    try:
        made = rotation.rotate(workspace_id, key_id, overlap=overlap, revision=revision, now=now)
    except rotation.ChangedMeanwhile:
        abort(409, "The key was changed or rotated meanwhile. Open its page to see how it stands.")
    return _show_secret(workspace_id, key_id, made.secret)


@blueprint.post("/<uuid:key_id>/end-overlap")
@requires("keys.manage")
def end_overlap(workspace_id: UUID, key_id: UUID) -> Response:
    """Stop the old secret before its time."""
    _working(workspace_id, key_id)
    rotation.end_overlap(workspace_id, key_id)
    return render.done(to=_address(workspace_id, key_id), toast="The old secret is stopped.")


@blueprint.get("/<uuid:key_id>/revoke")
@requires("keys.manage")
def confirm_revoke(workspace_id: UUID, key_id: UUID) -> Response:
    """Say what stops working."""
    about = _about(_working(workspace_id, key_id))
    calls = recent.calls_since(workspace_id, utc_now() - timedelta(hours=1), by="key", of=key_id)
    return render.page(TEMPLATE, block="revoke", view="revoke", calls=calls, **about)


@blueprint.post("/<uuid:key_id>/revoke")
@requires("keys.manage")
def revoke(workspace_id: UUID, key_id: UUID) -> Response:
    """Stop the key for good. A second click finds it revoked, and changes nothing."""
    if _editable(workspace_id, key_id).key.state == "active":
        keys.revoke(workspace_id, key_id, now=utc_now())
    return render.done(to=_address(workspace_id, key_id), toast="The key is revoked.")


def _only_stale(workspace_id: UUID, wanted: Wanted, *, since: datetime, after: UUID | None) -> Wanted:
    """Narrow a list to the keys without a call since an instant; younger ones had no time to be used."""
    old = key_list.made_before(workspace_id, wanted, since)
    used = recent.used_since(workspace_id, old, since)
    stale = [key_id for key_id in old if key_id not in used and (after is None or key_id < after)]
    return replace(wanted, only=stale[: pages.SIZE + 1])


def _editable(workspace_id: UUID, key_id: UUID) -> Listed:
    found = key_list.get(workspace_id, key_id, now=utc_now())
    if found.key.managed_by == "file":
        abort(409, BY_FILE)
    if found.key.kind == MANAGEMENT and not here().may("usage.export"):
        abort(403, NOT_YOURS)
    return found


def _working(workspace_id: UUID, key_id: UUID) -> Listed:
    found = _editable(workspace_id, key_id)
    if found.key.state != "active":
        abort(409, "This key is revoked already.")
    return found


def _with_secret(workspace_id: UUID, key_id: UUID) -> Listed:
    found = _working(workspace_id, key_id)
    if found.key.token:
        abort(409, "Tokens stand for this key. It has no secret that could be rotated.")
    return found


def _show_secret(workspace_id: UUID, key_id: UUID, secret: str) -> Response:
    about = _about(key_list.get(workspace_id, key_id, now=utc_now()))
    model = next(iter(key_form.named(about["key"].models) or models.names_of(workspace_id)), "MODEL")
    address = origin.absolute("")
    return render.page(TEMPLATE, block="secret", view="secret", secret=secret, model=model, address=address, **about)


def _about(found: Listed) -> dict[str, Any]:
    return {
        "key": found.key,
        "application": found.application,
        "application_archived": found.application_archived,
        "old_until": found.old_until,
        "now": utc_now(),
        "overlaps": OVERLAPS,
        "countdown": countdown,
    }


def _page(workspace_id: UUID, found: Listed) -> dict[str, Any]:
    """Everything that a key's own page shows."""
    last_used = recent.last_used(workspace_id, [found.key.key_id]).get(found.key.key_id)
    token = found.key.token
    issuer = token_issuers.provider_names().get(token.provider_id) if token else None
    owners, owner_id = key_form.owners(workspace_id, found.key), found.key.owner_id
    more: dict[str, Any] = {"owners": owners, "owner": dict(owners)[str(owner_id)] if owner_id else None}
    more |= {"last_used": last_used, "issuer": issuer, "names": _names(workspace_id, found.key.models)}
    return _about(found) | more


def _choices(workspace_id: UUID) -> dict[str, Any]:
    open_ones = [one for one in applications.all_of(workspace_id) if not one.archived_at]
    return {"applications": open_ones, "names": _names(workspace_id, ()), "owners": key_form.owners(workspace_id)}


def _names(workspace_id: UUID, known: Sequence[str]) -> list[str]:
    """Name the models that a key can be given, and those that it has though they are gone."""
    return sorted({*models.names_of(workspace_id), *key_form.named(known)})


def _zone() -> str:
    workspace = here().workspace
    return workspace.timezone if workspace else "UTC"


def _address(workspace_id: UUID, key_id: UUID) -> str:
    return url_for("keys.show", workspace_id=workspace_id, key_id=key_id)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def countdown(until: datetime, now: datetime) -> str:
    """Say how long something goes on, in the two largest units."""
    minutes = max(0, int((until.astimezone(UTC) - now).total_seconds() // 60))
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
