"""What people see when something is wrong: a page, or for htmx the same words in place and in a toast.

Errors inside a view of the console come here by its blueprint. Addresses that nothing answers belong
to nobody: the API answers its own in JSON, and what it leaves to browsers becomes a page here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, Flask, Response, current_app
from markupsafe import escape
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, InternalServerError, default_exceptions

from app.console import render
from app.errors import GatewayError

TEMPLATE = "console/errors.html"
RETRY_AFTER_S = "5"
TITLES = {
    400: "This request cannot be read",
    403: "You may not do this",
    404: "There is nothing here",
    405: "This cannot be done here",
    409: "This cannot be done now",
    413: "This is too large",
    429: "Too many tries",
    500: "The gateway failed",
    503: "The database does not answer",
}
TEXTS = {
    400: "Go back, reload the page and try again.",
    403: "Your role does not allow it. An owner or admin of the workspace can change your role.",
    404: "It may have been removed, or it belongs to a workspace that you are not a member of.",
    405: "Go back and use the page's own buttons.",
    409: "Somebody may have changed it meanwhile. Reload the page to see how it stands.",
    413: "Send less.",
    429: "Wait a little and try again.",
    500: "Nothing was changed. The operator finds the cause in the log by the number of this request.",
    503: "Calls to models go on. Pages return as soon as the database does.",
}


def watch(blueprint: Blueprint) -> None:
    """Turn what a blueprint's views raise into pages."""
    blueprint.register_error_handler(Exception, answer)


def install(app: Flask) -> None:
    """Turn what a browser finds nothing at into a page."""
    given = app.error_handler_spec[None][None].get(HTTPException)
    app.register_error_handler(HTTPException, partial(_astray, given or _unchanged))


def answer(error: Exception) -> Any:
    """Answer an error of one of the console's views."""
    if isinstance(error, HTTPException):
        return error if (error.code or 500) < 400 else _page(error.code or 500, _own_words(error))
    if isinstance(error, GatewayError):
        return _page(error.http_status, error.message)
    if isinstance(error, OperationalError | PoolTimeout):
        current_app.logger.warning("a page found no database", extra={"request_id": render.request_id()})
        return _page(503, None)
    current_app.logger.error("a page failed", exc_info=error, extra={"request_id": render.request_id()})
    return _page(500, None)


def _astray(given: Callable[[HTTPException], Any], error: HTTPException) -> Any:
    said = given(error)
    if said is not error or isinstance(error, InternalServerError) or (error.code or 500) < 400:
        return said
    response = render.secure(_page(error.code or 500, _own_words(error)))
    response.headers.extend(h for h in error.get_headers() if h[0] == "Allow")
    return response


def _unchanged(error: HTTPException) -> HTTPException:
    return error


def _own_words(error: HTTPException) -> str | None:
    """The words that a view gave to `abort`; None where they are only Werkzeug's."""
    usual = default_exceptions.get(error.code or 0)
    return None if usual is None or error.description == usual.description else error.description


def _page(status: int, text: str | None) -> Response:
    title = TITLES.get(status, "This did not work")
    text = text or TEXTS.get(status, "Go back and try again.")
    response = _drawn(status, title, text)
    if render.wants_block():
        render.raise_toast(response, f"{title}. {text}", "error")
    if status == 503:
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response


def _drawn(status: int, title: str, text: str) -> Response:
    """Draw the page; where that fails too, the bare words, so that the first failure is the one that is told."""
    values: dict[str, Any] = {"problem_title": title, "text": text, "problem_status": status}
    try:
        return render.page(TEMPLATE, block="content", status=status, **values)
    except Exception:
        current_app.logger.exception("the page of an error failed", extra={"request_id": render.request_id()})
        words = f"<!doctype html><title>{escape(title)}</title><h1>{escape(title)}</h1><p>{escape(text)}</p>"
        return Response(f"{words}<p>Request {render.request_id()}</p>", status)
