"""Errors in OpenAI's words: the body SDKs parse and the types and codes they branch on."""

from typing import Any

import msgspec

from app import errors
from app.wire import sse

_encode = msgspec.json.Encoder().encode

WORDS: dict[type[errors.GatewayError], tuple[str, str | None]] = {
    errors.NotAuthenticated: ("invalid_request_error", "invalid_api_key"),
    errors.NotAllowed: ("permission_error", None),
    errors.ModelNotFound: ("invalid_request_error", "model_not_found"),
    errors.RouteNotFound: ("invalid_request_error", "unknown_url"),
    errors.CallerError: ("invalid_request_error", None),
    errors.RateLimited: ("requests", "rate_limit_exceeded"),
    errors.BudgetSpent: ("insufficient_quota", "insufficient_quota"),
    errors.NetworkNotAllowed: ("permission_error", "network_not_allowed"),
    errors.Busy: ("server_error", None),
    errors.GatewayError: ("server_error", None),
}
"""Type and code by class; a class that is not here takes those of the nearest one above it."""

_OPTION_NAMES = (b"stream_options", b"include_usage")
_PASSED = ("message", "type", "param", "code")


def body_of(error: errors.GatewayError) -> dict[str, Any]:
    """Write the error object; an upstream's own words where the caller is at fault or it is busy."""
    kind, code = _words(type(error))
    ours = {"message": error.message, "type": kind, "param": error.param, "code": code}
    native = error.body if isinstance(error, (errors.Rejected, errors.Busy)) else None
    if isinstance(native, dict) and native.get("message"):
        ours = {name: native.get(name) for name in _PASSED}
        ours["message"] = str(ours["message"])
        ours["type"] = ours["type"] or kind
    return {"error": ours}


def json_of(error: errors.GatewayError) -> bytes:
    """Write the error as the body of an answer."""
    return _encode(body_of(error))


def event_of(error: errors.GatewayError) -> bytes:
    """Write the error as the last event of a stream; no `[DONE]` follows it."""
    return sse.event_of(_encode(body_of(error)))


def native_of(body: Any) -> dict[str, Any] | None:
    """Find the error object in an upstream's error body, in any of the shapes they come in."""
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error, "code": body.get("code")}
    for name in ("message", "detail"):
        if isinstance(body.get(name), str):
            return {
                "message": body[name],
                "type": body.get("type"),
                "param": body.get("param"),
                "code": body.get("code"),
            }
    detail = body.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        return {"message": str(detail[0].get("msg")), "param": ".".join(map(str, detail[0].get("loc", ())))}
    return None


def blames_usage_option(status: int, raw: bytes) -> bool:
    """Tell whether an upstream's refusal of a request names the option that asks a stream for its usage."""
    return status in {400, 422} and any(name in raw for name in _OPTION_NAMES)


def _words(kind: type[errors.GatewayError]) -> tuple[str, str | None]:
    return next(WORDS[base] for base in kind.__mro__ if base in WORDS)
