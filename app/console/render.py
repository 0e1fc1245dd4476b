"""How a console view answers: a whole page, or the named block of it that htmx asked for.

A view ends in one of four ways: `page` after a GET, `done` after a change, `problem` when a form was
not right, `leave` to go elsewhere. A toast reaches the person by a header when htmx shows the answer
on the spot, else by a signed cookie that the next page reads once.
"""

import json
import secrets
from typing import Any, cast

from flask import Flask, Response, current_app, g, make_response, request
from htmx_flask import Htmx
from htmx_flask import make_response as make_htmx_response
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.utils import redirect

from app.console import origin
from app.extensions import settings
from app.units import new_id

TOAST_COOKIE = "toast"
TOAST_AGE_S = 60
TONES = ("success", "info", "warning", "error")
HSTS = "max-age=31536000"
"""For a year, for this host name alone: its subdomains may be somebody else's."""
VARY = ("HX-Request", "HX-Boosted", "HX-History-Restore-Request", "Cookie")


def init_app(app: Flask) -> None:
    """Let requests know of htmx, and templates of the request."""
    Htmx(app)
    app.jinja_env.globals.update(csp_nonce=csp_nonce, request_id=request_id, waiting_toast=waiting_toast)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def page(template: str, *, block: str | None = None, status: int = 200, **values: Any) -> Response:
    """Answer with the whole page, or with the block alone when htmx asked for a part of it."""
    if block and wants_block():
        return make_response(_block(template, block, values), status)
    return make_response(current_app.jinja_env.get_template(template).render(_context(values)), status)


def done(
    template: str | None = None, *, block: str | None = None, to: str, toast: str | None = None, **values: Any
) -> Response:
    """Answer a change: the block in place for htmx, else (or without a block) on to the page `to`."""
    if not (template and block and wants_block()):
        return leave(to, toast=toast)
    shown = _block(template, block, values)
    return cast(Response, make_htmx_response(shown, trigger=_event(toast, "success") if toast else None))


def problem(template: str, *, block: str, status: int = 422, **values: Any) -> Response:
    """Answer a form that was not right: the same form, what was typed and what is wrong with it."""
    return page(template, block=block, status=status, **values)


def leave(to: str, *, toast: str | None = None, tone: str = "success") -> Response:
    """Go to another page: a 303 for a plain request, HX-Redirect for htmx. `to` is ours, never the caller's."""
    response = make_htmx_response("", 204, redirect=to) if wants_block() else redirect(to, 303, Response)
    if toast:
        _keep(response, {"text": toast, "tone": tone, "request_id": request_id()})
    return cast(Response, response)


def wants_block() -> bool:
    """Tell whether htmx will put the answer into a page that stands already."""
    htmx = cast(Any, request).htmx
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def raise_toast(response: Response, text: str, tone: str) -> None:
    """Have htmx show a toast on whatever page the answer reaches."""
    response.headers["HX-Trigger"] = json.dumps(_event(text, tone))


def request_id() -> str:
    """The number of this request: in the answer's header, in toasts, in the log and in the audit trail."""
    if "request_id" not in g:
        g.request_id = str(new_id())
    return cast(str, g.request_id)


def csp_nonce() -> str:
    """The word that this page's script tags must carry."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return cast(str, g.csp_nonce)


def waiting_toast() -> dict[str, str] | None:
    """Take the toast that the page before left; None without one, or when somebody else wrote it."""
    if TOAST_COOKIE not in request.cookies:
        return None
    g.toast_taken = True
    try:
        return cast(dict[str, str], _signer().loads(request.cookies[TOAST_COOKIE], max_age=TOAST_AGE_S))
    except BadData:
        return None


def secure(response: Response) -> Response:
    """Put on the headers that every answer of the console carries."""
    nonce = g.get("csp_nonce")
    response.headers["Content-Security-Policy"] = _policy(nonce)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if origin.is_https():
        response.headers["Strict-Transport-Security"] = HSTS
    response.headers["X-Request-Id"] = request_id()
    response.headers.setdefault("Cache-Control", "no-store")
    response.vary.update(VARY)
    if g.get("toast_taken"):
        response.delete_cookie(TOAST_COOKIE, httponly=True, samesite="Lax", secure=origin.is_https())
    return response


def _policy(nonce: str | None) -> str:
    scripts = f"'nonce-{nonce}'" if nonce else "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


def _block(template: str, block: str, values: dict[str, Any]) -> str:
    """Render one block as its template's own page would."""
    found = current_app.jinja_env.get_template(template)
    return "".join(found.blocks[block](found.new_context(_context(values))))


def _context(values: dict[str, Any]) -> dict[str, Any]:
    current_app.update_template_context(values)
    return values


def _event(text: str, tone: str) -> dict[str, Any]:
    return {"toast": {"text": text, "tone": tone, "request_id": request_id()}}


def _keep(response: Any, toast: dict[str, str]) -> None:
    response.set_cookie(
        TOAST_COOKIE,
        _signer().dumps(toast),
        max_age=TOAST_AGE_S,
        httponly=True,
        samesite="Lax",
        secure=origin.is_https(),
    )


def _signer() -> URLSafeTimedSerializer:
    oldest_first = [*reversed(settings().secret_key_previous), settings().secret_key]
    return URLSafeTimedSerializer(oldest_first, salt="toast")
