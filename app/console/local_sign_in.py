"""Signing in with an account of the gateway's own: a password, then a code where one is asked for.

It is the sign-in page itself until there is an identity provider, and an address of its own after that: the way in
when no provider works.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, request, url_for

from app.auth import break_glass, policy, sessions, sign_in, throttle
from app.console import forms, guard, origin, render
from app.console.forms import Form
from app.console.guard import here_or_none, open_to_all
from app.units import utc_now

TEMPLATE = "console/local_sign_in.html"
WRONG = "The e-mail or the password is wrong."
WRONG_CODE = "The code is wrong, or was used before. Wait for the next one."
EXPIRED = "That took too long. Begin again with the password."

blueprint = Blueprint("local_sign_in", __name__, url_prefix="/sign-in/local")


@blueprint.get("")
@open_to_all
def show() -> Response:
    """Show the form to who may use it; who is signed in goes on to where he wanted to."""
    onward = origin.own_path(request.args.get("next", ""))
    if here_or_none():
        return render.leave(onward)
    required = policy.requires_sso()
    if required:
        break_glass.check_network(origin.address())
    return form_page(forms.empty(next=onward), required=required)


@blueprint.post("")
@open_to_all
def begin() -> Response:
    """Check the password."""
    return check_password(forms.sent())


@blueprint.post("/code")
@open_to_all
def give_code() -> Response:
    """Check the code that comes after the password."""
    form = forms.sent()
    ticket, code = form.text("ticket"), form.text("code")
    if not code:
        form.problems["code"] = "is missing"
        return _code_page(form, ticket, status=422)
    try:
        return _go_in(form, lambda **about: sign_in.with_code(ticket, code, **about))
    except sign_in.Wrong:
        return _code_page(form, ticket, problem=WRONG_CODE, status=422)
    except sign_in.Expired:
        return form_page(form, problem=EXPIRED, status=422)
    except throttle.Wait as wait:
        return too_early(wait, lambda problem: _code_page(form, ticket, problem=problem, status=429))


def check_password(form: Form) -> Response:
    """Begin a session, ask for the code, or show the form again with what is wrong."""
    email, password = form.text("email"), form.values.get("password", "")
    for name, value in (("email", email), ("password", password)):
        if not value:
            form.problems[name] = "is missing"
    if form.problems:
        return form_page(form, status=422)
    try:
        return _go_in(form, lambda **about: sign_in.with_password(email, password, **about))
    except sign_in.CodeNeeded as needed:
        return _code_page(form, needed.ticket)
    except sign_in.Wrong:
        return form_page(form, problem=WRONG, status=422)
    except throttle.Wait as wait:
        return too_early(wait, lambda problem: form_page(form, problem=problem, status=429))


def form_page(form: Form, *, problem: str | None = None, status: int = 200, **about: Any) -> Response:
    """The page with the form, which is sent to the address that it stands at."""
    door = url_for("sign_in.begin")
    action = door if request.path == door else url_for("local_sign_in.begin")
    values: dict[str, Any] = {"required": policy.requires_sso(), "action": action} | about
    return render.page(TEMPLATE, view="password", given=form, problem=problem, status=status, **values)


def go_in(token: str, to: str) -> Response:
    """Give the browser its new session, end the one that it had, and lead on."""
    old = guard.session_cookie()
    if old:
        sessions.end(old)
    return guard.remember(render.leave(to), token)


def too_early(wait: throttle.Wait, page: Callable[[str], Response]) -> Response:
    """Refuse to look at a try that comes too early, and say when the next one may come."""
    wait_s = max(1, -(-(wait.until - utc_now()) // timedelta(seconds=1)))
    spoken = f"{wait_s} seconds" if wait_s < 120 else f"{-(-wait_s // 60)} minutes"
    answer = page(f"Too many tries have failed. Wait {spoken}, then try again.")
    answer.headers["Retry-After"] = str(wait_s)
    return answer


def _go_in(form: Form, prove: Callable[..., str]) -> Response:
    """Begin a session under a new id for who can prove that he may."""
    now: datetime = utc_now()
    token = prove(ip=origin.address(), user_agent=origin.user_agent(), now=now)
    return go_in(token, origin.own_path(form.values.get("next", "")))


def _code_page(form: Form, ticket: str, *, problem: str | None = None, status: int = 200) -> Response:
    onward = origin.own_path(form.values.get("next", ""))
    again = url_for("local_sign_in.show", next=onward)
    values: dict[str, Any] = {"ticket": ticket, "onward": onward, "again": again}
    return render.page(TEMPLATE, view="code", given=form, problem=problem, status=status, **values)
