"""The public keys of identity providers, for tokens on the line: fetched off it, kept for a day.

A call waits for a fetch only when there is no key to try; while the issuer is away, what was
fetched goes on working.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

import gevent
import httpx
import msgspec
from gevent.event import Event

from app.auth import jwk_sets
from app.auth.jwk_sets import ALGORITHM, Keys, SigningKey
from app.auth.workloads import Refused
from app.errors import Unavailable

FRESH_S = 24 * 3600.0
LIMIT_S = 5.0
"""How long a fetch may take, and how long a call waits for one."""
RETRY_S = 5.0
UNKNOWN_S = 60.0
"""How often a key that is not there has the issuer asked again."""
MOST_BYTES = 1 << 20

log = logging.getLogger(__name__)


class CannotFetch(Exception):
    """The issuer's keys cannot be had; says why."""


@dataclass(slots=True)
class _Issuer:
    """What is known of one issuer; instants are monotonic. While `running` is set, a fetch is under way."""

    keys: Keys = field(default_factory=dict)
    fetched_at: float = float("-inf")
    tried_at: float = float("-inf")
    running: Event | None = None


class SigningKeys:
    """Keys by issuer and key id. `dropped` counts the times that an issuer has taken a key back."""

    def __init__(self, ca_file: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.dropped = 0
        self._ca_file, self._clock = ca_file, clock
        self._issuers: dict[str, _Issuer] = {}

    def find(self, discovery: str, kid: str) -> SigningKey:
        """Find a key; raise `Refused` for one that the issuer has not, `Unavailable` while none could be fetched."""
        issuer = self._issuers.setdefault(discovery, _Issuer())
        key, now = issuer.keys.get(kid), self._clock()
        if now - issuer.fetched_at >= FRESH_S or key is None:
            self._start(discovery, issuer, now)
        if key is None and issuer.running:
            issuer.running.wait(LIMIT_S)
            key = issuer.keys.get(kid)
        if key is not None:
            return key
        if not issuer.keys:
            raise Unavailable("The gateway cannot fetch the signing keys of the token's issuer now.", retry_after_s=5)
        raise Refused("kid", "its issuer has no such signing key")

    @cached_property
    def _verify(self) -> SSLContext:
        """Whose certificates are trusted: the usual ones, and those of the private authority. Takes some 20 ms to make."""
        verify = httpx.create_ssl_context()
        if self._ca_file:
            verify.load_verify_locations(self._ca_file)
        return verify

    def _start(self, discovery: str, issuer: _Issuer, now: float) -> None:
        """Begin a fetch unless one is under way or was a moment ago."""
        pause = UNKNOWN_S if issuer.keys else RETRY_S
        if issuer.running is None and now - issuer.tried_at >= pause:
            issuer.tried_at, issuer.running = now, Event()
            gevent.spawn(self._fetch, discovery, issuer)

    def _fetch(self, discovery: str, issuer: _Issuer) -> None:
        try:
            with gevent.Timeout(LIMIT_S, CannotFetch(f"no answer in {LIMIT_S:.0f} s")):
                keys = fetch(discovery, self._verify)
            self.dropped += bool(issuer.keys.keys() - keys.keys())
            issuer.keys, issuer.fetched_at = keys, self._clock()
        except CannotFetch as error:
            log.warning("an issuer's signing keys cannot be fetched", extra={"issuer": discovery, "cause": str(error)})
        except Exception:
            log.exception("an issuer's signing keys cannot be fetched", extra={"issuer": discovery})
        finally:
            running, issuer.running = issuer.running, None
            if running:
                running.set()


def fetch(discovery: str, verify: SSLContext) -> Keys:
    """Ask an issuer for its keys, by their id. Raise `CannotFetch`."""
    try:
        with httpx.Client(timeout=LIMIT_S, verify=verify) as client:
            address = _json(client, discovery).get("jwks_uri")
            if not isinstance(address, str) or urlsplit(address).scheme not in {"https", urlsplit(discovery).scheme}:
                raise CannotFetch("its discovery document names no address of keys that is as safe as its own")
            keys = jwk_sets.usable(_json(client, address))
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError, OSError) as error:
        raise CannotFetch(f"{type(error).__name__}: {error}") from error
    if not keys:
        raise CannotFetch(f"it has no key for {ALGORITHM}")
    return keys


def _json(client: httpx.Client, address: str) -> dict[str, Any]:
    with client.stream("GET", address, headers={"accept": "application/json"}) as answer:
        answer.raise_for_status()
        body = b""
        for part in answer.iter_bytes():
            body += part
            if len(body) > MOST_BYTES:
                raise CannotFetch("its answer is too large")
    return msgspec.json.decode(body, type=dict[str, Any])
