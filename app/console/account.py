"""A person's own account: who he is, where he is signed in, his password and his second factor."""

from typing import Any
from uuid import UUID

import segno
from flask import Blueprint, Response, url_for

from app.auth import accounts, identity_providers, own_account, sessions, throttle, totp
from app.console import browsers, forms, guard, local_sign_in, origin, render
from app.console.forms import Form
from app.console.guard import here, requires
from app.units import utc_now
from app.workspace.names import Invalid

TEMPLATE = "console/account.html"

blueprint = Blueprint("account", __name__, url_prefix="/account")


@blueprint.get("")
@requires("console.enter")
def show() -> Response:
    """Show the account."""
    return render.page(TEMPLATE, view="show", given=forms.empty(), **_about())


@blueprint.post("/sessions/<uuid:session_id>/end")
@requires("console.enter")
def end_session(session_id: UUID) -> Response:
    """End one of the own sessions; one that has ended already stays so."""
    me = here().person
    sessions.end_one(me.user_id, session_id, name=me.email)
    return render.leave(_address(), toast="The session has ended.")


@blueprint.post("/sessions/end-others")
@requires("console.enter")
def end_others() -> Response:
    """End every own session but this one."""
    me = here().person
    sessions.end_others_of(me.user_id, guard.session_cookie(), name=me.email)
    return render.leave(_address(), toast="You are signed in nowhere else now.")


@blueprint.post("/password")
@requires("console.enter")
def change_password() -> Response:
    """Set another password."""
    form, me = forms.sent(), here().person
    current, new = form.values.get("current_password", ""), form.values.get("new_password", "")
    try:
        own_account.change_password(me, current, new, session_token=guard.session_cookie(), **_now())
    except Invalid as refused:
        field = "current_password" if refused.field == "password" else refused.field
        return _problem(form, field, refused.problem)
    except throttle.Wait as wait:
        return _too_early(form, "current_password", wait)
    return render.leave(_address(), toast="Your password is changed. Your other sessions have ended.")


@blueprint.get("/two-factor")
@requires("console.enter")
def two_factor() -> Response:
    """Show the secret for the app, until a code of it has been given."""
    waiting = totp.pending(here().person.user_id)
    return _secret_page(waiting, forms.empty()) if waiting else render.leave(_address())


@blueprint.post("/two-factor")
@requires("console.enter")
def begin_two_factor() -> Response:
    """Make a secret for the app."""
    form = forms.sent()
    try:
        own_account.begin_two_factor(here().person, form.values.get("password", ""), **_now())
    except Invalid as refused:
        return _problem(form, "two_factor_password", refused.problem)
    except throttle.Wait as wait:
        return _too_early(form, "two_factor_password", wait)
    return render.leave(url_for("account.two_factor"))


@blueprint.post("/two-factor/confirm")
@requires("console.enter")
def confirm_two_factor() -> Response:
    """Take the first code: from now on each sign-in with the password asks for one."""
    form, me = forms.sent(), here().person
    waiting = totp.pending(me.user_id)
    if waiting is None:
        return render.leave(_address())
    try:
        own_account.confirm_two_factor(me, form.text("code"), **_now())
    except Invalid as refused:
        form.problems["code"] = refused.problem
        return _secret_page(waiting, form, status=422)
    except throttle.Wait as wait:
        return local_sign_in.too_early(wait, lambda problem: _secret_page(waiting, form, problem=problem, status=429))
    return render.leave(_address(), toast="Two-factor sign-in is on.")


@blueprint.post("/two-factor/off")
@requires("console.enter")
def turn_off_two_factor() -> Response:
    """Let the password alone open the account again."""
    form, me = forms.sent(), here().person
    try:
        own_account.turn_off_two_factor(me, form.values.get("password", ""), form.text("code"), **_now())
    except Invalid as refused:
        return _problem(form, f"two_factor_{refused.field}", refused.problem)
    except throttle.Wait as wait:
        return _too_early(form, "two_factor_password", wait)
    return render.leave(_address(), toast="Two-factor sign-in is off.")


def _about() -> dict[str, Any]:
    """Everything the page shows beside what was typed."""
    now, me = utc_now(), here().person
    account, providers = accounts.get(me.user_id, now=now), identity_providers.of_all()
    linked = {one.provider_id for one in account.identities}
    return {
        "account": account,
        "sessions": sessions.of(me.user_id, now=now, token=guard.session_cookie()),
        "provider_names": {one.provider_id: one.name for one in providers},
        "to_link": [one for one in providers if one.disabled_at is None and one.provider_id not in linked],
        "browser_of": browsers.name_of,
        "now": now,
    }


def _secret_page(waiting: totp.Enrolment, given: Form, *, problem: str | None = None, status: int = 200) -> Response:
    picture = segno.make_qr(waiting.address, error="m").svg_data_uri(scale=5, light="#fff")
    values: dict[str, Any] = {"picture": picture, "secret": waiting.secret, "given": given, "problem": problem}
    return render.page(TEMPLATE, view="two_factor", status=status, **values)


def _problem(form: Form, field: str, problem: str) -> Response:
    form.problems[field] = problem
    return render.problem(TEMPLATE, block="content", view="show", given=form, **_about())


def _too_early(form: Form, field: str, wait: throttle.Wait) -> Response:
    def page(problem: str) -> Response:
        form.problems[field] = problem
        return render.page(TEMPLATE, view="show", given=form, status=429, **_about())

    return local_sign_in.too_early(wait, page)


def _now() -> dict[str, Any]:
    return {"ip": origin.address(), "now": utc_now()}


def _address() -> str:
    return url_for("account.show")
