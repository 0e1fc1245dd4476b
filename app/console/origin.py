"""Where a request comes from and where its person wants to go. Nothing a client says is believed further than needed."""

from urllib.parse import quote, unquote, urlsplit

from flask import request

from app import hosts
from app.extensions import settings

HOME = "/"
NOT_AFTERWARDS = ("/sign-in", "/sign-out")


def address() -> str:
    """Find the client's address. What proxies report is believed as far as TRUSTED_PROXIES goes."""
    return hosts.client_address()


def absolute(path: str) -> str:
    """Make a path of ours an address for links and redirects: below PUBLIC_URL, else where this request came in."""
    return hosts.absolute(path)


def is_https() -> bool:
    """Tell whether the person's browser reaches us over TLS: then cookies are Secure and HSTS is said."""
    return request.is_secure or settings().public_url.startswith("https://")


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
    fine = plain and ours and _stays_ours(parts.path) and not parts.path.startswith(NOT_AFTERWARDS)
    return target if fine else HOME


def _stays_ours(path: str) -> bool:
    """Tell whether a path leads nowhere else when somebody on the way decodes it, as often as he likes."""
    decoded = unquote(path)
    if decoded != path:
        return _stays_ours(decoded)
    return path.isprintable() and "\\" not in path and not path.startswith("//")


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
