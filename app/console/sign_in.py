"""The sign-in page, signing out, and coming in by an invitation: whole pages, never a piece of one."""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, request, url_for

from app.auth import identity_providers, joining, policy, sign_in, users
from app.auth.sessions import Person
from app.console import forms, guard, local_sign_in, origin, render, sso
from app.console.forms import Form
from app.console.guard import here, here_or_none, open_to_all, requires
from app.units import utc_now
from app.workspace import invitations, workspaces
from app.workspace.invitations import Invitation

TEMPLATE = "console/sign_in.html"
JOIN = "console/accept.html"

blueprint = Blueprint("sign_in", __name__)


@blueprint.get("/sign-in")
@open_to_all
def show() -> Response:
    """Show where one may sign in; who is signed in goes on to where he wanted to."""
    onward = origin.own_path(request.args.get("next", ""))
    if here_or_none():
        return render.leave(onward)
    providers = identity_providers.enabled()
    if not providers:
        return local_sign_in.form_page(forms.empty(next=onward))
    return render.page(TEMPLATE, providers=providers, onward=onward)


@blueprint.post("/sign-in")
@open_to_all
def begin() -> Response:
    """Check the password, unless it has to be given at its own address."""
    if policy.requires_sso():
        abort(403, sign_in.SSO_ONLY)
    return local_sign_in.check_password(forms.sent())


@blueprint.post("/sign-out")
@requires("console.enter")
def end() -> Response:
    """End the session, wherever its cookie is; one that began at an identity provider leads on to its sign-out."""
    onward = sso.after_sign_out(guard.session_cookie())
    sign_in.out(guard.session_cookie(), here().person)
    return guard.forget(render.leave(onward, toast="You are signed out."))


@blueprint.get("/join/<uuid:workspace_id>/<token>")
@open_to_all
def read_invitation(workspace_id: UUID, token: str) -> Response:
    """Show what somebody is invited to, and what he has to do."""
    invitation = invitations.find(workspace_id, token, now=utc_now())
    if invitation.accepted_at:
        return render.leave(_workspace(workspace_id))
    return render.page(JOIN, given=forms.empty(), **_about(workspace_id, token, invitation))


@blueprint.post("/join/<uuid:workspace_id>/<token>")
@open_to_all
def accept(workspace_id: UUID, token: str) -> Response:
    """Let the invited person in. A second click finds the invitation accepted, and leads in as the first did."""
    found, form, now = here_or_none(), forms.sent(), utc_now()
    invitation = invitations.find(workspace_id, token, now=now)
    about = _about(workspace_id, token, invitation)
    if invitation.accepted_at:
        return render.leave(_workspace(workspace_id))
    if found is None and (about["has_account"] or about["sso_only"]):
        return render.leave(about["sign_in_url"])
    if found and about["other_person"]:
        abort(409, f"The invitation is for {invitation.email}. Sign out, then open its link again.")
    with form.refusals():
        if found:
            joining.as_person(workspace_id, token, found.person, now=now)
            return render.leave(_workspace(workspace_id), toast=f"Welcome to {about['workspace'].name}.")
        return local_sign_in.go_in(_join(workspace_id, token, form, now=now), _workspace(workspace_id))
    return render.problem(JOIN, block="content", given=form, **about)


def _join(workspace_id: UUID, token: str, form: Form, *, now: datetime) -> str:
    """Make the account and begin its first session; give its cookie's value."""
    password = form.values.get("password", "")
    person = joining.as_new_person(workspace_id, token, name=form.text("name"), password=password, now=now)
    return sign_in.begin(person, ip=origin.address(), user_agent=origin.user_agent(), now=now)


def _about(workspace_id: UUID, token: str, invitation: Invitation) -> dict[str, Any]:
    """What the page of an invitation says. A person with an account signs in first; another one has another link."""
    found = here_or_none()
    mine: Person | None = found.person if found else None
    address = url_for("sign_in.read_invitation", workspace_id=workspace_id, token=token)
    return {
        "workspace": workspaces.get(workspace_id),
        "invitation": invitation,
        "address": address,
        "has_account": users.exists(invitation.email),
        "sso_only": policy.requires_sso(),
        "providers": identity_providers.enabled(),
        "other_person": mine is not None and mine.email != invitation.email,
        "sign_in_url": url_for("sign_in.show", next=address),
    }


def _workspace(workspace_id: UUID) -> str:
    return f"/w/{workspace_id}/"
