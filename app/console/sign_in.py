"""Signing in, signing out, and coming in by an invitation: whole pages, never a piece of one."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, request, url_for

from app.auth import joining, sessions, sign_in, throttle, users
from app.auth.sessions import Person
from app.console import forms, guard, origin, render
from app.console.forms import Form
from app.console.guard import here, here_or_none, open_to_all, requires
from app.units import utc_now
from app.workspace import invitations, workspaces
from app.workspace.invitations import Invitation

TEMPLATE = "console/sign_in.html"
JOIN = "console/accept.html"
WRONG = "The e-mail or the password is wrong."

blueprint = Blueprint("sign_in", __name__)


@blueprint.get("/sign-in")
@open_to_all
def show() -> Response:
    """Show the form; who is signed in goes on to where he wanted to."""
    onward = origin.own_path(request.args.get("next", ""))
    if here_or_none():
        return render.leave(onward)
    return render.page(TEMPLATE, given=forms.empty(next=onward))


@blueprint.post("/sign-in")
@open_to_all
def begin() -> Response:
    """Check the password; begin a session under a new id, and end the one that this browser had."""
    form, now = forms.sent(), utc_now()
    email, password = form.text("email"), form.values.get("password", "")
    for name, value in (("email", email), ("password", password)):
        if not value:
            form.problems[name] = "is missing"
    if form.problems:
        return _again(form)
    where = {"ip": origin.address(), "user_agent": origin.user_agent()}
    try:
        token = sign_in.with_password(email, password, now=now, **where)
    except sign_in.Wrong:
        return _again(form, problem=WRONG)
    except throttle.Wait as wait:
        return _too_early(form, wait.until - now)
    return _go_in(token, origin.own_path(form.values.get("next", "")))


@blueprint.post("/sign-out")
@requires("console.enter")
def end() -> Response:
    """End the session, wherever its cookie is."""
    sign_in.out(guard.session_cookie(), here().person)
    return guard.forget(render.leave(origin.HOME, toast="You are signed out."))


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
    if found is None and about["has_account"]:
        return render.leave(about["sign_in_url"])
    if found and about["other_person"]:
        abort(409, f"The invitation is for {invitation.email}. Sign out, then open its link again.")
    with form.refusals():
        if found:
            joining.as_person(workspace_id, token, found.person, now=now)
            return render.leave(_workspace(workspace_id), toast=f"Welcome to {about['workspace'].name}.")
        return _go_in(_join(workspace_id, token, form, now=now), _workspace(workspace_id))
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
        "other_person": mine is not None and mine.email != invitation.email,
        "sign_in_url": url_for("sign_in.show", next=address),
    }


def _go_in(token: str, to: str) -> Response:
    old = guard.session_cookie()
    if old:
        sessions.end(old)
    return guard.remember(render.leave(to), token)


def _again(form: Form, *, problem: str | None = None, status: int = 422) -> Response:
    return render.problem(TEMPLATE, block="content", status=status, given=form, problem=problem)


def _too_early(form: Form, wait: timedelta) -> Response:
    """Refuse to look at a try that comes too early, and say when the next one may come."""
    wait_s = max(1, -(-wait // timedelta(seconds=1)))
    spoken = f"{wait_s} seconds" if wait_s < 120 else f"{-(-wait_s // 60)} minutes"
    answer = _again(form, problem=f"Too many tries have failed. Wait {spoken}, then try again.", status=429)
    answer.headers["Retry-After"] = str(wait_s)
    return answer


def _workspace(workspace_id: UUID) -> str:
    return f"/w/{workspace_id}/"
