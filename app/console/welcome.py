"""The page at `/`: what this is and how to call it, until the console with its sign-in stands here."""

import re

from flask import Blueprint, Flask, Response, make_response, render_template, request

from app.extensions import settings

SAFE_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

blueprint = Blueprint("welcome", __name__)


def register(app: Flask) -> None:
    """Mount the page."""
    app.register_blueprint(blueprint)


@blueprint.get("/")
def show() -> Response:
    """Show the page, with the address that the reader came by in its example."""
    response = make_response(render_template("welcome.html", address=_address()))
    response.headers.update(HEADERS)
    return response


def _address() -> str:
    """Find the base address to show; a Host header that is no plain host is not repeated."""
    if SAFE_HOST.fullmatch(request.host):
        return f"{request.scheme}://{request.host}"
    return f"http://{settings().host}:{settings().port}"
