"""How the management API answers: JSON, and errors in OpenAI's shape as the proxy's."""

from math import ceil
from typing import Any

import msgspec
from flask import Response, current_app, g
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from app import errors
from app.units import new_id
from app.wire.clients import openai_errors
from app.workspace.names import Invalid, NotFound

RETRY_AFTER_S = 5


class Absent(errors.CallerError):
    """There is no such thing, or it is somebody else's, which is the same to a caller."""

    status, code = 404, "caller_not_found"


def one(said: Any) -> Response:
    """Answer with an object."""
    return marked(Response(msgspec.json.encode(said), 200, content_type="application/json"))


def marked(response: Response) -> Response:
    """Give an answer the headers that all have; also one that streams."""
    response.headers["X-Request-Id"] = request_id()
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def refusal(error: Exception) -> Response:
    """Say what went wrong, and no more than a client may know."""
    found = _as_ours(error)
    response = Response(openai_errors.json_of(found), found.http_status, content_type="application/json")
    response.headers["X-Gateway-Error"] = found.code
    if found.http_status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="management"'
    if found.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, ceil(found.retry_after_s)))
    return marked(response)


def request_id() -> str:
    """The number of this request: in the answer's header, in the log and in the audit trail."""
    if "request_id" not in g:
        g.request_id = str(new_id())
    return str(g.request_id)


def _as_ours(error: Exception) -> errors.GatewayError:
    if isinstance(error, errors.GatewayError):
        return error
    if isinstance(error, Invalid):
        return errors.BadRequest(f"'{error.field}' {error.problem}.", param=error.field)
    if isinstance(error, NotFound):
        said = str(error)
        return Absent(f"{said[:1].upper()}{said[1:]}.")
    if isinstance(error, OperationalError | PoolTimeout):
        current_app.logger.warning("the management API found no database", extra={"request_id": request_id()})
        return errors.Unavailable("The database does not answer. Try again soon.", retry_after_s=RETRY_AFTER_S)
    if isinstance(error, HTTPException) and (error.code or 500) < 500:
        return errors.BadRequest("The request cannot be read.")
    current_app.logger.error("a request to the management API failed", exc_info=error, extra=_number())
    return errors.Bug("The gateway failed. The operator finds the cause in the log by the number of this request.")


def _number() -> dict[str, str]:
    return {"request_id": request_id()}
