"""The calls this process is serving: leases renewed, clients watched, streams drained.

One greenlet looks at all of them once a second. A client that closed its connection is noticed
here also while the upstream is silent, when nothing is written that could fail.
"""

import logging
import time
from collections.abc import Iterable
from typing import Any

import gevent
from gevent import socket

from app.errors import ClientGone, Drained
from app.gateway import upstream
from app.gateway.call import Call
from app.gateway.intents import LEASE_MS, RENEW_EVERY_S, intents_key
from app.gateway.pipe import Pipe
from app.gateway.spool import Spool
from app.logging import metrics

LOOK_EVERY_S = 1.0
DRAIN_LIMIT_S = 120.0
"""How long a stream may go on after the process was told to stop; gunicorn waits 10 s longer."""
_PEEK_NOW = socket.MSG_PEEK | socket.MSG_DONTWAIT

log = logging.getLogger(__name__)


class OpenCalls:
    """A set of calls and the greenlet that looks after them."""

    def __init__(self, pipe: Pipe, spool: Spool) -> None:
        self._calls: set[Call] = set()
        self._pipe = pipe
        self._spool = spool
        self._drain_at = float("inf")
        self._renew_at = time.monotonic() + RENEW_EVERY_S

    def __len__(self) -> int:
        """The number of open calls."""
        return len(self._calls)

    def every(self) -> list[Call]:
        """List them."""
        return list(self._calls)

    def add(self, call: Call) -> None:
        """Look after a call from its admission on."""
        self._calls.add(call)

    def discard(self, call: Call) -> None:
        """Let a settled call go."""
        self._calls.discard(call)

    def start_draining(self) -> None:
        """End what is still open `DRAIN_LIMIT_S` from now."""
        self._drain_at = time.monotonic() + DRAIN_LIMIT_S

    def watch(self) -> None:
        """Look after the open calls for ever; a greenlet."""
        while True:
            gevent.sleep(LOOK_EVERY_S)
            try:
                self._turn(time.monotonic())
            except Exception:
                log.exception("looking after the open calls failed; trying again")

    def _turn(self, now: float) -> None:
        if now >= self._renew_at:
            self._renew_at = now + RENEW_EVERY_S
            self._renew_leases()
            upstream.prune()
        self._look(now)
        self.publish()

    def publish(self) -> None:
        """Show the counters of this process."""
        owed = self._spool.owed
        pending = self._pipe.unacknowledged + owed
        metrics.publish(calls_in_flight=len(self._calls), settlements_pending=pending, settlements_spooled=owed)

    def _look(self, now: float) -> None:
        for call in list(self._calls):
            if call.exchange is None:
                continue
            if now > self._drain_at:
                call.exchange.cancel(Drained("The gateway is being restarted. Send the request again."))
            elif now - call.started > LOOK_EVERY_S and has_left(call.inbound.socket):
                call.exchange.cancel(ClientGone("The client closed the connection."))

    def _renew_leases(self) -> None:
        for tag, calls in _by_tag(self._calls).items():
            self._pipe.send_script("renew", (intents_key(tag),), LEASE_MS, *(call.id_text for call in calls))


def has_left(client: Any) -> bool:
    """Tell whether a client closed its connection. Bytes that wait are its next request."""
    if client is None:
        return False
    try:
        return not client._sock.recv(1, _PEEK_NOW)  # noqa: SLF001 - the gevent socket would wait
    except BlockingIOError:
        return False
    except (OSError, AttributeError):
        return True


def _by_tag(calls: Iterable[Call]) -> dict[str, list[Call]]:
    groups: dict[str, list[Call]] = {}
    for call in calls:
        groups.setdefault(call.caller.tag, []).append(call)
    return groups
