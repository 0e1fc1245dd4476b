"""Every error the gateway answers with, by whose fault it is.

GatewayError
├── CallerError             the request is wrong
│   ├── BadRequest              400
│   ├── RequestIncomplete       408
│   ├── RequestTooLarge         413
│   ├── NotAuthenticated        401
│   ├── NotAllowed              403
│   ├── ModelNotFound           404; ModelNotAllowed: the key may not use it
│   ├── RouteNotFound           404
│   ├── MethodNotAllowed        405
│   ├── Misdirected             421: the Host header names somebody else
│   └── ClientGone              499: it left; nobody reads this
├── PolicyError             a rule of the workspace refuses it
│   ├── RateLimited             429
│   ├── BudgetSpent             429
│   └── NetworkNotAllowed       403
├── ProviderError           the upstream failed
│   ├── Rejected                its own 4xx: the caller's request is wrong for it
│   ├── Busy                    429, 503
│   ├── Refused                 502: it does not accept our credential
│   ├── Unreachable             502: no connection
│   ├── Broken                  502: an answer that cannot be used; Truncated: one that ended early
│   └── TimedOut                504
└── GatewayFault            we failed
    ├── Unavailable             503
    ├── Drained                 503: the process is being stopped
    └── Bug                     500

A class says the status and our own word for it (`code`, sent as `x-gateway-error`); faces
map classes to the words of their dialect. No message holds an address, a secret or a body.
"""

from typing import ClassVar, Self
from uuid import UUID


class GatewayError(Exception):
    """Something a client is told about, in the words of its dialect."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "gateway_bug"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.call_headers: list[tuple[str, str]] = []
        self.key: tuple[UUID, UUID] | None = None

    def of_key(self, workspace_id: UUID, key_id: UUID) -> Self:
        """Note whose call it is, for those who count."""
        self.key = workspace_id, key_id
        return self

    @property
    def reason(self) -> str:
        """What a refusal is counted as in its workspace, which may know more than its client is told."""
        return self.code

    @property
    def http_status(self) -> int:
        """The status of the answer; `Rejected` and `Busy` keep the upstream's."""
        return self.status


class CallerError(GatewayError):
    """The request is wrong; sending it again cannot help."""


class BadRequest(CallerError):
    status, code = 400, "caller_bad_request"


class RequestIncomplete(CallerError):
    status, code = 408, "caller_request_incomplete"


class RequestTooLarge(CallerError):
    status, code = 413, "caller_request_too_large"


class NotAuthenticated(CallerError):
    status, code = 401, "caller_not_authenticated"


class NotAllowed(CallerError):
    status, code = 403, "caller_not_allowed"


class ModelNotFound(CallerError):
    status, code = 404, "caller_model_not_found"


class ModelNotAllowed(ModelNotFound):
    """The key's list does not hold the model. The client is told the same as when there is none."""

    @property
    def reason(self) -> str:
        return "caller_model_not_allowed"


class RouteNotFound(CallerError):
    status, code = 404, "caller_route_not_found"


class MethodNotAllowed(CallerError):
    status, code = 405, "caller_method_not_allowed"


class Misdirected(CallerError):
    status, code = 421, "caller_misdirected"


class ClientGone(CallerError):
    status, code = 499, "caller_gone"


class PolicyError(GatewayError):
    """A rule of the workspace refuses the call."""


class RateLimited(PolicyError):
    """More requests than the limit allows; `limit`, `remaining` and `reset_s` describe it."""

    status, code = 429, "policy_rate_limited"

    def __init__(self, message: str, *, limit: int, reset_s: float, retry_after_s: float | None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.limit = limit
        self.remaining = 0
        self.reset_s = reset_s


class BudgetSpent(PolicyError):
    """A budget is used up. `retry_after_s` is the rest of its period; SDKs are told not to wait for that."""

    status, code = 429, "policy_budget_exceeded"


class NetworkNotAllowed(PolicyError):
    status, code = 403, "policy_network_not_allowed"


class ProviderError(GatewayError):
    """The upstream failed. `upstream_status` is what it said, 0 when it said nothing."""

    def __init__(
        self, message: str, *, upstream_status: int = 0, retry_after_s: float | None = None, body: object = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.upstream_status = upstream_status
        self.body = body


class Rejected(ProviderError):
    """The upstream says that the caller's request is wrong; `body` is its error object, or None."""

    status, code = 400, "provider_rejected"

    @property
    def http_status(self) -> int:
        return self.upstream_status


class Busy(ProviderError):
    """429 (with the upstream's error object in `body`) or 503: it may work later."""

    status, code = 503, "provider_busy"

    @property
    def http_status(self) -> int:
        return self.upstream_status or 503


class Refused(ProviderError):
    status, code = 502, "provider_refused"


class Unreachable(ProviderError):
    status, code = 502, "provider_unreachable"


class Broken(ProviderError):
    status, code = 502, "provider_broken"


class Truncated(Broken):
    """The answer ended too early."""

    code = "provider_truncated"


class TimedOut(ProviderError):
    status, code = 504, "provider_timeout"


class GatewayFault(GatewayError):
    """We failed; the same request may work later."""


class Unavailable(GatewayFault):
    status, code = 503, "gateway_unavailable"


class Drained(GatewayFault):
    status, code = 503, "gateway_drained"


class Bug(GatewayFault):
    status, code = 500, "gateway_bug"
