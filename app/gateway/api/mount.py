"""Between Flask and the line: a request becomes an `Inbound`, an `Answer` becomes a response."""

import re
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, Response, current_app, request
from sqlalchemy.exc import OperationalError
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WrongMethod

from app import errors
from app.config import MAX_BODY_BYTES
from app.gateway import headers
from app.gateway.call import Answer, Inbound
from app.gateway.process import Process
from app.hosts import WrongHost, client_address
from app.logging import metrics
from app.units import new_id
from app.wire.clients import openai_errors

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

BODY_LIMIT_S = 30.0
"""How long a client may take to send the body it announced."""
API_PREFIXES = ("/v1", "/chat/", "/models", "/openai/", "/api/")
_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def process() -> Process:
    """The line's parts in this worker."""
    found = current_app.extensions.get("gateway")
    if found is None:
        raise errors.Unavailable("This process does not serve models.")
    return cast(Process, found)


def inbound() -> Inbound:
    """Take the running request; its body is read when the line asks for it."""
    socket = request.environ.get("gunicorn.socket")
    return Inbound(token(), client_address, partial(_body, socket), socket, client_request_id())


def token() -> bytes:
    """The API key in `Authorization: Bearer`, b"" without one. The scheme's case does not matter."""
    scheme, _, value = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return value.strip().encode("latin-1", "replace") if scheme.lower() == "bearer" else b""


def client_request_id() -> str | None:
    """The client's own request id; None unless it is well-formed."""
    given = request.environ.get("HTTP_X_REQUEST_ID")
    return given if given and _WELL_FORMED_ID.fullmatch(given) else None


class _Final(Response):
    """A response whose headers are complete: werkzeug would copy them, look into them and count the body."""

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:  # noqa: ARG002 - as werkzeug calls it
        return self.headers


def response(answer: Answer) -> Response:
    """Send an answer; whatever happens to it, `close` runs when the response is closed."""
    if isinstance(answer.body, bytes):
        answer.headers.append(("content-length", str(len(answer.body))))
    sent = _Final(answer.body, answer.status, answer.headers)
    sent.call_on_close(answer.close)
    return sent


def refusal(error: errors.GatewayError) -> Response:
    """Say an error in the dialect's words."""
    found = headers.of_error(error) + error.call_headers
    if not error.call_headers:
        found.append(("x-request-id", str(new_id())))
        metrics.refused(error.code)
    return Response(openai_errors.json_of(error), error.http_status, found)


def _body(socket: Any) -> bytes:
    """Read the whole body; raise `RequestIncomplete` or `RequestTooLarge`: half a body is never taken for a whole one.

    gunicorn ends its input where the body ends, chunked ones too, so there is nothing to guard against.
    """
    length = request.environ.get("CONTENT_LENGTH")
    announced = int(length) if length else None
    if announced is not None and announced > MAX_BODY_BYTES:
        raise _too_large()
    try:
        if socket is not None:
            socket.settimeout(BODY_LIMIT_S)
        body: bytes = request.environ["wsgi.input"].read(MAX_BODY_BYTES + 1 if announced is None else announced)
    except (OSError, ValueError) as error:
        raise errors.RequestIncomplete("The body is incomplete: it did not arrive whole.") from error
    finally:
        if socket is not None:
            socket.settimeout(None)
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    if announced is not None and len(body) < announced:
        raise errors.RequestIncomplete("The body is incomplete: it is shorter than its Content-Length says.")
    return body


def _too_large() -> errors.RequestTooLarge:
    return errors.RequestTooLarge(f"The body is larger than {MAX_BODY_BYTES // 1024 // 1024} MiB.")


class _JsonErrors:
    """Answers what no route answers: JSON, but for a browser that went astray outside the API's paths."""

    def install(self, app: Flask) -> None:
        app.url_map.merge_slashes = False  # its redirect would be a page, and lose the body
        app.register_error_handler(errors.GatewayError, refusal)
        app.register_error_handler(OperationalError, self.database_away)
        app.register_error_handler(HTTPException, self.http)
        app.register_error_handler(Exception, self.bug)

    def http(self, error: HTTPException) -> Any:
        if "text/html" in request.headers.get("accept", "") and not request.path.startswith(API_PREFIXES):
            return error
        if isinstance(error, WrongHost):
            return refusal(errors.Misdirected(error.description or ""))
        if isinstance(error, WrongMethod):
            answer = refusal(errors.MethodNotAllowed(f"{request.method} is not allowed here."))
            answer.headers["allow"] = ", ".join(error.valid_methods or ())
            return answer
        if error.code == 404:
            return refusal(errors.RouteNotFound("There is nothing at this address. See the gateway's documentation."))
        return refusal(errors.BadRequest("The request cannot be read."))

    def database_away(self, _error: OperationalError) -> Response:
        return refusal(errors.Unavailable("The gateway's database does not answer. Try again soon."))

    def bug(self, error: Exception) -> Response:
        answer = refusal(errors.Bug("The gateway failed. The operator finds the cause in its log."))
        request_id = answer.headers["x-request-id"]
        current_app.logger.error("a request failed", exc_info=error, extra={"request_id": request_id})
        return answer


json_error = _JsonErrors()
