"""Which host a request comes from, and which names we answer to.

A request for another host reaches no view, whatever its path. It is seen where Flask makes the
request's context, so that no route can forget it; a known host costs one look into a set.
"""

import re
from typing import TYPE_CHECKING

from flask import Flask, request
from flask.ctx import RequestContext
from werkzeug.exceptions import BadRequest

from app.extensions import settings
from app.networks import client_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

EXEMPT = frozenset({"/healthz", "/readyz", "/metrics"})
"""Load balancers and scrapers ask by address."""
MOST_SPELLINGS = 1000
_SPELLING = re.compile(r"([a-z0-9._-]+?|\[[0-9a-f:.]+\])\.?(:[0-9]{1,5})?", re.IGNORECASE)


def client_address() -> str:
    """Find the client's address: the peer's, or what proxies say as far as TRUSTED_PROXIES goes."""
    told = request.environ.get("HTTP_X_FORWARDED_FOR", "")
    return client_of(request.environ.get("REMOTE_ADDR", ""), told, settings().trusted_proxies)


def absolute(path: str) -> str:
    """Make a path of ours an address for links and redirects: below PUBLIC_URL, else where this request came in."""
    return (settings().public_url or request.host_url.rstrip("/")) + path


class WrongHost(BadRequest):
    """The request's Host header names somebody else."""

    description = "This host name is not answered here. Use the gateway's own address."


class Hosts:
    """The names that are answered, without ports; none given: every well-formed one."""

    def __init__(self, names: frozenset[str]) -> None:
        self.known: set[str | None] = set()
        """Host headers as they came in before; few, since nobody else may add to them."""
        self._names = names

    def answer(self, host: str | None) -> bool:
        """Tell whether a Host header that is not known yet is ours, and remember it."""
        found = _SPELLING.fullmatch(host) if host is not None else None
        name = found[1].lower() if found else None
        ours = name in self._names if self._names else name is not None or host is None
        if ours and len(self.known) < MOST_SPELLINGS:
            self.known.add(host)
        return ours


class Site(Flask):
    """Flask that answers to its own names alone."""

    hosts = Hosts(frozenset())

    def request_context(self, environ: "WSGIEnvironment") -> RequestContext:
        host = environ.get("HTTP_HOST")
        if host in self.hosts.known or environ.get("PATH_INFO") in EXEMPT or self.hosts.answer(host):
            return RequestContext(self, environ)
        return _Elsewhere(self, environ)


class _Elsewhere(RequestContext):
    """A request that no route is looked up for. A header that no host is written like is a bad request."""

    def match_request(self) -> None:
        written_well = _SPELLING.fullmatch(self.request.environ.get("HTTP_HOST", ""))
        self.request.routing_exception = WrongHost() if written_well else BadRequest()
