"""Connections to addresses that tenants name. Each is checked where it cannot lie: at the connect itself.

The name is resolved here, every address is checked, and the socket goes to the address that was
checked: a name that resolves otherwise a moment later changes nothing. Redirects are not followed.

Where the environment names a proxy (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), the proxy resolves the name,
and what it lets through is its operator's to say. What can be seen from here is checked all the same.
"""

import http.client
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer
from urllib.parse import SplitResult, unquote, urlsplit

from requests.utils import get_environ_proxies, select_proxy

from app.workspace.addresses import is_inside, is_metadata

LIMIT_S = 10.0
WHOLE_LIMIT_S = 30.0
"""How long an exchange may take that never stops for `LIMIT_S`."""
MOST_ADDRESSES = 3
"""How many addresses of a name are tried."""
MOST_READ = 4096
OK = range(200, 300)
GONE = 410


class CannotSend(Exception):
    """A message did not get where it should; says why, in words for the log. `permanent`: nor will it later."""

    def __init__(self, problem: str, *, permanent: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.permanent = permanent


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Where connections may go, and whose certificates count besides the usual ones."""

    private_allowed: bool = False
    ca_file: Path | None = None


def post(url: str, body: bytes, headers: dict[str, str], rules: Rules) -> str:
    """Send a POST and give back the answer's status; raise `CannotSend` for any but 2xx, and when there is none."""
    try:
        with closing(_Connection(url, rules)) as connection, ending(lambda: connection.sock):
            connection.connect()
            connection.request("POST", connection.target, body, headers | connection.for_proxy)
            answer = connection.getresponse()
            said = answer.read(MOST_READ).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CannotSend(cause(error)) from error
    status = f"{answer.status} {answer.reason}".strip()
    if answer.status in OK:
        return status
    raise CannotSend(f"{status}: {_plain(said)}" if said else status, permanent=answer.status == GONE)


def connect(host: str, port: int, rules: Rules) -> socket.socket:
    """Open a connection to the first address that answers; raise `CannotSend` when the name leads to a forbidden one."""
    last: OSError | None = None
    for address in _allowed(host, port, rules)[:MOST_ADDRESSES]:
        try:
            return socket.create_connection((address, port), LIMIT_S)
        except OSError as error:
            last = error
    raise last or OSError("the name has no address")


def context(rules: Rules) -> ssl.SSLContext:
    """Make the TLS context: the usual certificate authorities and the operator's."""
    made = ssl.create_default_context()
    if rules.ca_file:
        made.load_verify_locations(rules.ca_file)
    return made


def cause(error: Exception) -> str:
    """Say in a few words why an exchange failed."""
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(error, TimeoutError):
        return f"no answer within {LIMIT_S:.0f} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or type(error).__name__}"
    said = getattr(error, "strerror", None) or _plain(str(error)) or type(error).__name__
    return f"no connection: {said}"


@contextmanager
def ending(current: Callable[[], socket.socket | None]) -> Iterator[None]:
    """End an exchange that takes too long: whoever answers a byte at a time would hold up the others."""
    over = Event()

    def end() -> None:
        over.set()
        with suppress(OSError):
            if found := current():
                found.shutdown(socket.SHUT_RDWR)

    timer = Timer(WHOLE_LIMIT_S, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if over.is_set():
            raise CannotSend(f"no whole answer within {WHOLE_LIMIT_S:.0f} s")


class _Connection(http.client.HTTPConnection):
    """HTTP or HTTPS to where a URL leads: checked, or through the proxy that the environment names for it."""

    def __init__(self, url: str, rules: Rules) -> None:
        parts, self._rules, self._proxy = urlsplit(url), rules, _proxy_for(url)
        self._tls, self._name = parts.scheme == "https", str(parts.hostname)
        self.default_port = 443 if self._tls else 80
        self._port = parts.port or self.default_port
        self.target, self.for_proxy = (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), {}
        if self._proxy is None:
            super().__init__(self._name, self._port, timeout=LIMIT_S)
            return
        super().__init__(str(self._proxy.hostname), self._proxy.port or 80, timeout=LIMIT_S)
        if self._tls:
            self.set_tunnel(self._name, self._port, _credentials(self._proxy))
        else:
            self.target, self.for_proxy = url, _credentials(self._proxy)

    def connect(self) -> None:
        if self._proxy is None:
            self.sock = connect(self._name, self._port, self._rules)
        else:
            # Where only the proxy can resolve names, only the proxy can judge them.
            with suppress(socket.gaierror):
                _allowed(self._name, self._port, self._rules)
            super().connect()
        if self._tls:
            # The handshake comes apart from this, so that `ending` has a socket to end.
            self.sock = context(self._rules).wrap_socket(
                self.sock, server_hostname=self._name, do_handshake_on_connect=False
            )
            self.sock.do_handshake()


def _allowed(host: str, port: int, rules: Rules) -> list[str]:
    """Resolve a name; raise `CannotSend` when one of its addresses is forbidden."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(place[4][0]) for place in found))
    if any(map(is_metadata, addresses)):
        raise CannotSend(f"{host} is an address that no message is sent to", permanent=True)
    if not rules.private_allowed and any(map(is_inside, addresses)):
        raise CannotSend(f"{host} is an address inside this network; the operator can allow those", permanent=True)
    return addresses


def _proxy_for(url: str) -> SplitResult | None:
    """Find the proxy that the environment names for a URL, by the rules that sign-in goes by too."""
    named = select_proxy(url, get_environ_proxies(url))
    if not named:
        return None
    parts = urlsplit(named if "://" in named else f"http://{named}")
    if parts.scheme != "http" or not parts.hostname:
        raise CannotSend("the gateway's proxy is not of the form http://host:port, which is the only one supported")
    return parts


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    both = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(both.encode()).decode()}"}


def _plain(said: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())[:100]
