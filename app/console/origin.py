"""Where a request comes from and where its person wants to go. Nothing a client says is believed further than needed."""

import ipaddress
from urllib.parse import quote, urlsplit

from flask import request

HOME = "/"
NOT_AFTERWARDS = ("/sign-in", "/sign-out")


def address() -> str:
    """Find the client's address. A reverse proxy is believed when it runs on this machine, as gunicorn does it too."""
    peer = request.remote_addr or ""
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return told if told and _is_address(told) and _is_loopback(peer) else peer


def user_agent() -> str:
    """What the client calls itself."""
    return request.headers.get("User-Agent", "")


def sign_in_url() -> str:
    """The sign-in page that leads back to the page that the person has before him."""
    here = _page_before_him()
    return "/sign-in" if here == HOME else f"/sign-in?next={quote(here, safe='')}"


def own_path(target: str) -> str:
    """Give a path of ours back; the start page for everything that leads elsewhere or back to signing in."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return HOME
    plain = target.isprintable() and "\\" not in target and " " not in target
    ours = not parts.scheme and not parts.netloc and target.startswith("/") and not target.startswith("//")
    return target if plain and ours and not parts.path.startswith(NOT_AFTERWARDS) else HOME


def _page_before_him() -> str:
    if request.headers.get("HX-Request"):
        return _path_of(request.headers.get("HX-Current-URL", ""))
    if request.method in {"GET", "HEAD"}:
        return own_path(request.full_path.rstrip("?"))
    return _path_of(request.headers.get("Referer", ""))


def _path_of(url: str) -> str:
    """Take the path from an absolute address of ours."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return HOME
    if parts.netloc != request.host:
        return HOME
    return own_path(parts.path + (f"?{parts.query}" if parts.query else "")) if parts.path else HOME


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(peer: str) -> bool:
    return not peer or (_is_address(peer) and ipaddress.ip_address(peer).is_loopback)
