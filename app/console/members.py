"""Members of a workspace: who they are, what they may, who is invited. An invitation's link is shown once."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request, url_for

from app.auth import joining, mappings, users
from app.console import forms, origin, render
from app.console.guard import here, requires
from app.units import utc_now
from app.workspace import invitations, members
from app.workspace.members import ROLES, By
from app.workspace.names import Invalid

TEMPLATE = "console/members.html"
MEANINGS = {
    "owner": "everything, owners included",
    "admin": "members, providers, models, settings and all below",
    "developer": "applications and keys",
    "billing": "sees usage and takes it away as CSV",
    "viewer": "sees everything but the audit trail",
}

blueprint = Blueprint("members", __name__, url_prefix="/w/<uuid:workspace_id>/members")


@blueprint.get("")
@requires("members.read")
def index(workspace_id: UUID) -> Response:
    """List the members, those whose name or e-mail holds a text, and who is invited."""
    return render.page(TEMPLATE, block="rows", view="list", **_list(workspace_id))


@blueprint.get("/invite")
@requires("members.manage")
def new(workspace_id: UUID) -> Response:
    """Show the empty form."""
    given = forms.empty(new_id=str(forms.fresh_id()), role="viewer")
    return render.page(TEMPLATE, block="form", view="invite", given=given, **_about(workspace_id))


@blueprint.post("/invite")
@requires("members.manage")
def invite(workspace_id: UUID) -> Response:
    """Invite somebody and show the link, this once."""
    form = forms.sent()
    email, role, own = form.text("email"), form.text("role"), forms.row_id(workspace_id, form)
    with form.refusals():
        try:
            token = joining.invite(workspace_id, email, role, by=_by(), now=utc_now(), invitation_id=own)
        except invitations.MadeBefore:
            said = "This invitation was made a moment ago. Its link was shown then."
            return render.leave(_address(workspace_id), toast=said, tone="info")
        link = origin.absolute(url_for("sign_in.read_invitation", workspace_id=workspace_id, token=token))
        return render.page(TEMPLATE, block="link", view="link", link=link, email=email, **_about(workspace_id))
    return render.problem(TEMPLATE, block="form", view="invite", given=form, **_about(workspace_id))


@blueprint.post("/<uuid:user_id>/role")
@requires("members.manage")
def change_role(workspace_id: UUID, user_id: UUID) -> Response:
    """Give a member another role."""
    try:
        members.change_role(workspace_id, user_id, request.form.get("role", ""), by=_by(), name=_name(user_id))
    except Invalid as refused:
        return _refused(workspace_id, refused)
    return _done(workspace_id, "The role is changed.")


@blueprint.post("/<uuid:user_id>/remove")
@requires("members.manage")
def remove(workspace_id: UUID, user_id: UUID) -> Response:
    """Take a member out of the workspace, or only what he was given by hand when a mapping gives him a role too."""
    try:
        still = members.remove(workspace_id, user_id, by=_by(), name=_name(user_id))
    except Invalid as refused:
        return _refused(workspace_id, refused)
    if still:
        return _done(workspace_id, f"The role given by hand is gone. A mapping still gives the role {still}.")
    if user_id == here().person.user_id:
        return render.leave(url_for("workspaces.index"), toast="You have left the workspace.")
    return _done(workspace_id, "The member is removed.")


@blueprint.post("/invitations/<uuid:invitation_id>/revoke")
@requires("members.manage")
def revoke(workspace_id: UUID, invitation_id: UUID) -> Response:
    """Take an invitation back."""
    invitations.revoke(workspace_id, invitation_id, by=_by())
    return _done(workspace_id, "The invitation is revoked. Its link opens nothing any more.")


def _list(workspace_id: UUID) -> dict[str, Any]:
    """What the list shows: a page of it, as it was asked for."""
    search, after = forms.asked("q"), _uuid(forms.asked("after"))
    only = users.matching(search, [one.user_id for one in members.of(workspace_id)]) if search else None
    found = members.page(workspace_id, only=only, after=after)
    people = users.of([one.user_id for one in found.items])
    invited = [] if search or after else invitations.open_of(workspace_id)
    sources = mappings.sources(workspace_id, {one.user_id: one.mapped_role for one in found.items if one.mapped_role})
    about = {"found": found, "people": people, "invited": invited, "search": search, "after": after, "now": utc_now()}
    return about | {"sources": sources} | _about(workspace_id)


def _about(workspace_id: UUID) -> dict[str, Any]:
    mine = _by().role if here().may("members.manage") else None
    may_give = [role for role in ROLES if mine and members.rank(role) >= members.rank(mine)]
    return {"may_give": may_give, "meanings": MEANINGS, "problem": None, "list_url": _address(workspace_id)}


def _by() -> By:
    """Who changes members, and as what he does: `requires` has seen to it that he has a role here."""
    found = here()
    assert found.role
    return By(user_id=found.person.user_id, role=found.role)


def _name(user_id: UUID) -> str:
    person = users.of([user_id]).get(user_id)
    return person.email if person else ""


def _done(workspace_id: UUID, toast: str) -> Response:
    values = _list(workspace_id) if render.wants_block() else {}
    return render.done(TEMPLATE, block="rows", to=_address(workspace_id), toast=toast, view="list", **values)


def _refused(workspace_id: UUID, refused: Invalid) -> Response:
    """Show the list as it stands, and why it stands so."""
    problem = f"Nothing was changed: the {refused.field} {refused.problem}."
    return render.problem(TEMPLATE, block="rows", view="list", **_list(workspace_id) | {"problem": problem})


def _address(workspace_id: UUID) -> str:
    return url_for("members.index", workspace_id=workspace_id)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
