"""Connections to upstreams: open or reuse one, send a request, hand on what arrives.

geventhttpclient's parser reads the answer, sockets and deadlines are ours: its client would wait
for 4,096 bytes on a slow stream, and the line must be able to end a silent exchange from outside.
A connection that was kept is looked at before it is used again; a request is never sent twice.
"""

import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from gevent import socket, ssl
from geventhttpclient.response import HTTPParseError, HTTPResponse

from app.errors import Broken, GatewayError, TimedOut, Truncated, Unreachable
from app.model.catalogue import Address, Deadlines

READ_BYTES = 65536
KEEP_IDLE_S = 50.0
KEEP_MOST = 512
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MSG_PEEK_NOW = socket.MSG_PEEK | socket.MSG_DONTWAIT


class Silence(Exception):
    """Nothing arrived within the slice of time the caller asked for; the exchange goes on."""


class Exchange:
    """One request on its way and the answer as it arrives."""

    __slots__ = (
        "_address",
        "_answer",
        "_deadlines",
        "_ended",
        "_heard_at",
        "_inflate",
        "_raw",
        "_sock",
        "cancelled",
        "started",
    )

    def __init__(self, address: Address, deadlines: Deadlines, started: float | None = None) -> None:
        """`started` (monotonic) is when the deadlines began to count, for the second try of one call; None: now."""
        self._address = address
        self._deadlines = deadlines
        self.started = time.monotonic() if started is None else started
        self._sock: Any = None
        self._raw: Any = None
        self._ended = 0.0
        self._answer: Any = HTTPResponse(method="POST")
        self._inflate: Any = None
        self._heard_at = 0.0
        self.cancelled: GatewayError | None = None

    def send(self, head: bytes, body: bytes) -> None:
        """Connect and send; raise `Unreachable` or `TimedOut`."""
        self._sock = _pool.take(self._address) or self._connect()
        self._raw = self._sock._sock  # noqa: SLF001 - shut down from another greenlet without touching TLS state
        try:
            self._write(b"%s%d\r\n\r\n%s" % (head, len(body), body))
        except OSError as error:
            self.close()
            raise self._failure(Unreachable("The provider closed the connection.")) from error

    @property
    def status(self) -> int:
        """The answer's status, once the headers are there."""
        return int(self._answer.get_code())

    def header(self, name: str) -> str:
        """One header of the answer, "" when it is absent."""
        value = self._answer.get(name, "")
        return str(value[0] if isinstance(value, list) else value)

    def await_headers(self, slice_s: float | None = None) -> None:
        """Read until the headers are complete; raise `Silence` after `slice_s` without them."""
        limit = self.started + self._deadlines.first_byte_s
        stop = limit if slice_s is None else min(limit, time.monotonic() + slice_s)
        while not self._answer.headers_complete or self.status < 200:
            self._receive(stop, final=stop == limit)
        coding = self.header("content-encoding").lower()
        if coding in {"gzip", "x-gzip", "deflate"}:
            self._inflate = self._inflate or zlib.decompressobj(47)
        elif coding not in {"", "identity"}:
            raise self._broken("The provider answered in a coding that was not asked for.")

    def read(self, slice_s: float | None = None) -> bytes:
        """Return what has arrived as soon as something has; b"" at the end of the answer.

        Raises `Silence` after `slice_s`, `TimedOut` after the idle or total deadline, `Truncated`
        when the upstream closes too early.
        """
        buffered = self._answer._body_buffer  # noqa: SLF001 - read(n) would wait for n bytes
        while not buffered:
            if self._answer.message_complete:
                self.close()
                return b""
            limit = min(self._heard_at + self._deadlines.idle_s, self.started + self._deadlines.total_s)
            stop = limit if slice_s is None else min(limit, time.monotonic() + slice_s)
            self._receive(stop, final=stop == limit)
        data = bytes(buffered)
        del buffered[:]
        return data if self._inflate is None else self._inflated(data)

    def read_all(self) -> bytes:
        """Read the rest of the answer; raise `Broken` above `MAX_ANSWER_BYTES`."""
        parts, size = [], 0
        while data := self.read():
            parts.append(data)
            size += len(data)
            if size > MAX_ANSWER_BYTES:
                raise self._broken("The provider's answer is too large.")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def elapsed_s(self) -> float:
        """Seconds from the start of the exchange to its end, or to now."""
        return (self._ended or time.monotonic()) - self.started

    def cancel(self, reason: GatewayError) -> None:
        """End the exchange from another greenlet: the one that reads it gets `reason` raised."""
        if self._raw is not None and self.cancelled is None:
            self.cancelled = reason
            with suppress(OSError):
                self._raw.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let the connection go: back to the pool when the answer was read to its end, else closed."""
        sock, self._sock, self._raw = self._sock, None, None
        if sock is None:
            return
        self._ended = time.monotonic()
        if self.cancelled or self._answer.should_close():
            sock.close()
        else:
            _pool.give_back(self._address, sock)

    def _write(self, data: bytes) -> None:
        """Write at once what fits, which nearly always is all; wait for the rest."""
        written = 0
        if not self._address.tls:
            with suppress(BlockingIOError):
                written = self._raw.send(data)
        if written < len(data):
            self._sock.settimeout(self._deadlines.first_byte_s)
            self._sock.sendall(memoryview(data)[written:])

    def _connect(self) -> Any:
        address, limit = self._address, self._deadlines.connect_s
        try:
            sock = socket.create_connection((address.host, address.port), timeout=limit)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _tls.wrap_socket(sock, server_hostname=address.host) if address.tls else sock
        except TimeoutError as error:
            raise TimedOut("The provider did not accept a connection in time.") from error
        except (OSError, UnicodeError) as error:
            raise Unreachable("The provider cannot be reached.") from error

    def _receive(self, stop: float, *, final: bool) -> None:
        try:
            self._sock.settimeout(max(0.001, stop - time.monotonic()))
            data = self._sock.recv(READ_BYTES)
            self._feed(data)
        except TimeoutError:
            if not final:
                raise Silence from None
            self.close()
            raise TimedOut("The provider did not answer in time.") from None
        except (OSError, HTTPParseError, ValueError) as error:
            self.close()
            raise self._failure(Truncated("The provider's answer ended too early.")) from error
        if not data and not self._answer.message_complete:
            self.close()
            raise self._failure(Truncated("The provider's answer ended too early."))

    def _feed(self, data: bytes) -> None:
        """Parse what came; what ended because we ended it would look complete where an answer has no length."""
        if self.cancelled is not None:
            raise OSError
        self._heard_at = time.monotonic()
        self._answer.feed(data)

    def _failure(self, otherwise: GatewayError) -> GatewayError:
        """What really happened: the reason we ended it ourselves, if we did."""
        return self.cancelled or otherwise

    def _inflated(self, data: bytes) -> bytes:
        try:
            plain = bytes(self._inflate.decompress(data, MAX_ANSWER_BYTES))
        except zlib.error:
            raise self._broken("The provider's answer is not what its coding says.") from None
        return plain or self.read()

    def _broken(self, message: str) -> Broken:
        self.close()
        return Broken(message, upstream_status=self.status)


class _Pool:
    """Idle connections by address, the last used first."""

    def __init__(self) -> None:
        self._idle: dict[Address, list[tuple[Any, float]]] = {}

    def take(self, address: Address) -> Any:
        """Take a connection that is still open and silent; None when there is none."""
        idle = self._idle.get(address)
        while idle:
            sock, since = idle.pop()
            if time.monotonic() - since < KEEP_IDLE_S and _is_quiet(sock):
                return sock
            sock.close()
        return None

    def give_back(self, address: Address, sock: Any) -> None:
        """Keep a connection for the next call."""
        idle = self._idle.setdefault(address, [])
        if len(idle) < KEEP_MOST:
            idle.append((sock, time.monotonic()))
        else:
            sock.close()

    def prune(self) -> None:
        """Close what was idle too long, and forget addresses without connections."""
        limit = time.monotonic() - KEEP_IDLE_S
        for address, idle in list(self._idle.items()):
            for sock, _ in _older(idle, limit):
                sock.close()
            if not idle:
                del self._idle[address]


def _older(idle: list[tuple[Any, float]], limit: float) -> Iterator[tuple[Any, float]]:
    """Take out the connections idle since before `limit`; they are in order of return."""
    while idle and idle[0][1] < limit:
        yield idle.pop(0)


def _is_quiet(sock: Any) -> bool:
    """An idle connection that can be read was closed by its server, or says what nobody asked."""
    try:
        sock._sock.recv(1, _MSG_PEEK_NOW)  # noqa: SLF001 - the gevent socket would wait
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


_pool = _Pool()
_tls = ssl.create_default_context()
prune = _pool.prune
