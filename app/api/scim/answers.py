"""How SCIM answers: resources, lists of them, and errors in its own shape."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from flask import Blueprint, Response, current_app, g, request
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from app import hosts
from app.auth.scim_documents import Taken
from app.errors import GatewayError
from app.units import new_id
from app.workspace.names import Invalid, NotFound

TYPE = "application/scim+json"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ALWAYS = frozenset({"id", "schemas"})
"""What is in every resource, whatever was left out."""
RETRY_AFTER_S = 5
WORDS = {
    400: "The request cannot be read.",
    404: "There is nothing at this address.",
    405: "This cannot be done here.",
    413: "The body is too large.",
}


class Refused(Exception):
    """A request that is wrong, in SCIM's words: `kind` is its `scimType`."""

    def __init__(self, status: int, detail: str, *, kind: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.kind, self.retry_after_s = status, detail, kind, retry_after_s


def watch(blueprint: Blueprint) -> None:
    """Turn what the routes raise into errors of SCIM."""
    blueprint.register_error_handler(Exception, refusal)


def one(resource: Mapping[str, Any], status: int = 200) -> Response:
    """Answer with a resource: all of it, or the attributes that were asked for."""
    response = _json(_wanted(resource), status)
    if status == 201:
        response.headers["Location"] = resource["meta"]["location"]
    return response


def listed(resources: Sequence[Mapping[str, Any]], *, total: int, start: int = 1) -> Response:
    """Answer with some of the resources that there are; `start` counts from 1."""
    head = {"schemas": [LIST], "totalResults": total, "startIndex": start, "itemsPerPage": len(resources)}
    return _json(head | {"Resources": [_wanted(resource) for resource in resources]})


def nothing() -> Response:
    """Answer that it is done."""
    return _marked(Response("", 204))


def is_wanted(attribute: str) -> bool:
    """Tell whether the answer shall have an attribute that is costly to find."""
    asked, left_out = _asked("attributes"), _asked("excludedAttributes")
    return attribute not in left_out and (not asked or attribute in asked)


def is_named(attribute: str) -> bool:
    """Tell whether an attribute was asked for by its name."""
    return attribute in _asked("attributes")


def address(*parts: object) -> str:
    """Make the absolute address of a resource."""
    return hosts.absolute("/".join(["/scim/v2", *map(str, parts)]))


def refusal(error: Exception) -> Response:
    """Say what went wrong, and no more than a client may know."""
    if isinstance(error, Refused):
        return _error(error.status, error.detail, error.kind, error.retry_after_s)
    if isinstance(error, Taken):
        return _error(409, f"{error.field} {error.problem}.", "uniqueness")
    if isinstance(error, Invalid):
        return _error(
            400, f"{error.field} {error.problem}.", "invalidFilter" if error.field == "filter" else "invalidValue"
        )
    if isinstance(error, NotFound):
        return _error(404, str(error))
    if isinstance(error, OperationalError | PoolTimeout):
        current_app.logger.warning("provisioning found no database", extra={"request_id": request_id()})
        return _error(503, "The database does not answer. Try again soon.", retry_after_s=RETRY_AFTER_S)
    return _of_http(error)


def request_id() -> str:
    """The number of this request: in the answer's header, in the log and in the audit trail."""
    if "request_id" not in g:
        g.request_id = str(new_id())
    return str(g.request_id)


def _of_http(error: Exception) -> Response:
    if isinstance(error, GatewayError):
        return _error(error.http_status, error.message)
    if isinstance(error, HTTPException):
        status = error.code or 500
        return _error(status, WORDS.get(status, "The request is refused."))
    current_app.logger.error("a request of provisioning failed", exc_info=error, extra={"request_id": request_id()})
    return _error(500, "The gateway failed. The operator finds the cause in the log by the number of this request.")


def _error(status: int, detail: str, kind: str | None = None, retry_after_s: int | None = None) -> Response:
    said = {"schemas": [ERROR], "status": str(status)} | ({"scimType": kind} if kind else {}) | {"detail": detail}
    response = _json(said, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="scim"'
    if retry_after_s:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def _wanted(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what was not asked for; parts of an attribute stand for all of it."""
    asked, left_out = _asked("attributes"), _asked("excludedAttributes")
    if not asked and not left_out:
        return resource
    return {
        name: value
        for name, value in resource.items()
        if name in ALWAYS or (name.casefold() not in left_out and (not asked or name.casefold() in asked))
    }


def _asked(parameter: str) -> frozenset[str]:
    """Read a list of attributes from the address, in small letters and without their parts."""
    names = (name.strip() for name in request.args.get(parameter, "").casefold().split(",") if name.strip())
    return frozenset(_whole(name) for name in names)


def _whole(name: str) -> str:
    """The attribute that a part belongs to; extensions have colons, and dots in their names."""
    stem, colon, last = name.rpartition(":")
    if stem.endswith((":core:2.0:user", ":core:2.0:group")) or not colon:
        return last.partition(".")[0]
    return name if last in {"user", "group"} else stem


def _json(said: Any, status: int = 200) -> Response:
    return _marked(Response(msgspec.json.encode(said), status, content_type=TYPE))


def _marked(response: Response) -> Response:
    response.headers["X-Request-Id"] = request_id()
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
