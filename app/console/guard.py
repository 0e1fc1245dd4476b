"""The door of the console: who asks, where, and whether he may. Every view has `requires` or `open_to_all`.

No session leads to the sign-in page. A workspace that does not exist and one that the person does
not belong to are the same 404; only inside a workspace is there a 403. Each request that would
change something must carry the form token of its session, and leaves an audit entry when refused.
"""

import base64
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import UUID

from flask import Flask, Request, Response, abort, make_response, request
from flask_login import LoginManager, current_user
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from app.auth import permissions, sessions
from app.auth.sessions import Person
from app.console import origin, render
from app.errors import NotAllowed
from app.extensions import settings, vault
from app.logging import audit
from app.networks import Networks
from app.units import PLATFORM_ID, utc_now
from app.workspace import members
from app.workspace.names import NotFound
from app.workspace.workspaces import Workspace

SESSION_COOKIE = "gateway_session"
VISIT_COOKIE = "gateway_visit"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FAILED = 500
NOTED = frozenset({400, 401, 403, 404, 409, 422, FAILED})
KINDS = {
    "deliveries": "delivery",
    "settings": "workspace",
    "sign_in": "session",
    "local_sign_in": "session",
    "people": "person",
    "require_sso": "sign_in_policy",
    "workload_tokens": "key",
    "platform_mappings": "mapping",
}
"""What pages are about, where it is not their name without its s."""
MOST_NOTES_PER_MIN = 300
"""Of refusals to nobody in particular, in one process: a flood of them must not fill the audit trail."""
STALE_FORM = "This form is no longer valid. Reload the page and send it again."
_HERE, _VISIT, _WRITTEN = "gateway.here", "gateway.visit", "gateway.written"

_nobodys: deque[float] = deque()

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Who is asking, and where. `role` is what the person is shown as being there."""

    person: Person
    workspace: Workspace | None
    role: str | None
    roles: frozenset[str]

    def may(self, permission: str) -> bool:
        """Tell whether the person has a permission here."""
        return permissions.allows(self.roles, permission)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The person of a running session, as Flask-Login knows people."""

    person: Person
    is_authenticated: bool = True


def init_app(app: Flask) -> None:
    """Find out who is signed in; let every template ask who is here, and carry the form token."""
    login = LoginManager()
    login.session_protection = None  # the server knows each session, and its cookie is never renewed by us
    login.request_loader(_signed_in)
    app.login_manager = login  # type: ignore[attr-defined]  # its init_app would look for a cookie after each proxied call
    app.context_processor(lambda: {"here": here_or_none(), "csrf_token": csrf_token})


def requires(permission: str) -> Callable[[View], View]:
    """Let a view be seen only by those who have the permission, in the workspace of its address when it has one."""
    permissions.PERMISSIONS[permission]

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(**arguments: Any) -> Response:
            with _arrival(arguments.get("workspace_id")) as found:
                with _refusals_noted():
                    _check_network(settings().console_networks, "The console")
                if found is None:
                    _note(401)
                    return _to_sign_in()
                with _refusals_noted():
                    _check(found, permission, arguments)
                    return _noted(make_response(view(**arguments)))

        guarded.permission = permission  # type: ignore[attr-defined]
        return cast(View, guarded)

    return decorate


def open_to_all(view: View) -> View:
    """Let a view be seen by everybody: the pages on which nobody can be signed in yet."""

    @wraps(view)
    def opened(**arguments: Any) -> Response:
        with _arrival(None), _refusals_noted():
            _check_network(settings().console_networks, "The console")
            _check_form(tokens=(*_session_tokens(), *_visit_tokens()))
            return _with_visit(_noted(make_response(view(**arguments))))

    opened.permission = None  # type: ignore[attr-defined]
    return cast(View, opened)


def here() -> Here:
    """Who is asking, and where, in a view behind `requires`."""
    found = here_or_none()
    if found is None:
        raise RuntimeError("nobody is signed in here")
    return found


def here_or_none() -> Here | None:
    """Who is asking, and where. None: nobody is signed in, or no guard has looked."""
    return cast(Here | None, request.environ.get(_HERE))


def csrf_token() -> str:
    """The token that forms of this page carry."""
    return (_session_tokens() or _visit_tokens())[0]


def remember(response: Response, token: str) -> Response:
    """Give the browser its session's cookie."""
    return _set_cookie(response, SESSION_COOKIE, token)


def forget(response: Response) -> Response:
    """Take the session's cookie from the browser."""
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="Lax", secure=origin.is_https())
    return response


def session_cookie() -> str:
    """The value of the session's cookie; empty without one."""
    return request.cookies.get(SESSION_COOKIE, "")


def check_place(workspace: Workspace) -> None:
    """Refuse whoever comes from outside of a workspace's networks: for views whose address does not name it."""
    _check_network(workspace.networks, "This workspace")


@contextmanager
def _arrival(workspace_id: UUID | None) -> Iterator[Here | None]:
    """Find out who is asking and where, and act as him while the block runs."""
    request.environ[_HERE] = None
    found = _here(current_user.person, workspace_id) if current_user.is_authenticated else None
    request.environ[_HERE], request.environ[_WRITTEN] = found, audit.written()
    with audit.acting(_actor(found)):
        yield found


def _signed_in(_request: Request) -> SignedIn | None:
    cookie = session_cookie()
    person = sessions.find(cookie, now=utc_now()) if cookie else None
    return SignedIn(person) if person else None


def _here(person: Person, workspace_id: UUID | None) -> Here:
    place = members.place_of(workspace_id, person.user_id) if workspace_id else None
    roles = permissions.roles_of(person.platform_role, place.role if place else None, in_workspace=place is not None)
    inside = place is not None and permissions.allows(roles, "workspace.read")
    if not (place and inside):
        return Here(person=person, workspace=None, role=None, roles=roles)
    return Here(person=person, workspace=place.workspace, role=_shown_role(person, place.role), roles=roles)


def _shown_role(person: Person, member_role: str | None) -> str | None:
    if person.platform_role == "admin":
        return "owner"
    return member_role or person.platform_role


def _actor(found: Here | None) -> audit.Actor:
    where = {"ip": origin.address(), "user_agent": origin.user_agent(), "request_id": render.request_id()}
    if found is None:
        return audit.Actor(kind="nobody", name="nobody signed in", **where)
    person = found.person
    role = found.role or (f"platform {person.platform_role}" if person.platform_role else None)
    return audit.Actor(kind="person", id=str(person.user_id), name=person.email, role=role, **where)


def _check(found: Here, permission: str, arguments: dict[str, Any]) -> None:
    """Stop at the first thing that is wrong: the place, the network, the form, the role."""
    if "workspace_id" in arguments and found.workspace is None:
        abort(404)
    if found.workspace:
        _check_network(found.workspace.networks, "This workspace")
    _check_form(tokens=_session_tokens())
    if not found.may(permission):
        abort(403)


def _check_network(allowed: Networks, what: str) -> None:
    """Refuse whoever comes from elsewhere, naming the address, so that an admin can be asked to allow it."""
    if allowed and not allowed.hold(address := origin.address()):
        abort(403, f"{what} may not be used from your network. Your address is {address}.")


def _check_form(*, tokens: tuple[str, ...]) -> None:
    if request.method in SAFE_METHODS:
        return
    given = request.headers.get("X-CSRFToken") or request.form.get("csrf_token", "")
    if not any(hmac.compare_digest(token.encode(), given.encode()) for token in tokens):
        abort(403, STALE_FORM)


def _session_tokens() -> tuple[str, ...]:
    return sessions.form_tokens(session_cookie()) if here_or_none() else ()


def _visit_tokens() -> tuple[str, ...]:
    """The form tokens of somebody who is not signed in; they hang on a cookie of its own."""
    visit = request.environ.get(_VISIT) or request.cookies.get(VISIT_COOKIE)
    if not visit:
        visit = request.environ[_VISIT] = secrets.token_urlsafe(16)
    signatures = vault().signatures(b"visit", visit.encode())
    return tuple(base64.urlsafe_b64encode(one).decode().rstrip("=") for one in signatures)


def _with_visit(response: Response) -> Response:
    fresh = request.environ.get(_VISIT)
    return _set_cookie(response, VISIT_COOKIE, fresh) if fresh else response


def _set_cookie(response: Response, name: str, value: str) -> Response:
    """Set a cookie that no script reads, that ends with the browser and travels over https where we are reached so."""
    response.set_cookie(name, value, httponly=True, samesite="Lax", secure=origin.is_https(), path="/")
    return response


def _to_sign_in() -> Response:
    """Send to the sign-in page, and from there back to the page that the person has before him."""
    to = origin.sign_in_url()
    if render.wants_block():
        return Response("", 401, {"HX-Redirect": to})
    return Response("", 303, {"Location": to})


@contextmanager
def _refusals_noted() -> Iterator[None]:
    """Say what services refuse in HTTP's words, and write down each refusal."""
    try:
        try:
            yield
        except NotFound:
            abort(404)
        except NotAllowed as error:
            abort(403, error.message)
    except HTTPException as refusal:
        _note(refusal.code or FAILED)
        raise
    except Exception:
        with suppress(SQLAlchemyError):
            _note(FAILED)
        raise


def _noted(response: Response) -> Response:
    _note(response.status_code)
    return response


def _note(status: int) -> None:
    """Write down that a change was refused, unless its service has, or that somebody reached for a foreign workspace."""
    found, arguments = here_or_none(), request.view_args or {}
    foreign = status == 404 and "workspace_id" in arguments and found is not None and found.workspace is None
    if status not in NOTED or (request.method in SAFE_METHODS and not foreign):
        return
    if audit.written() != request.environ[_WRITTEN] or (found is None and not room_for_a_note()):
        return
    pages, _, verb = (request.endpoint or "").partition(".")
    kind = KINDS.get(pages) or pages.removesuffix("s")
    ids = [str(value) for name, value in arguments.items() if name.endswith("_id")]
    workspace_id = found.workspace.workspace_id if found and found.workspace else PLATFORM_ID
    about = {"kind": kind, "id": ids[-1] if ids else "", "reason": f"answered {status}"}
    audit.refused(workspace_id, f"{kind}.{verb}", outcome="failed" if status == FAILED else "refused", **about)


def room_for_a_note() -> bool:
    """Tell whether this process has noted few enough refusals to nobody within the last minute."""
    now = time.monotonic()
    while _nobodys and now - _nobodys[0] > 60:
        _nobodys.popleft()
    if len(_nobodys) >= MOST_NOTES_PER_MIN:
        return False
    _nobodys.append(now)
    return True
