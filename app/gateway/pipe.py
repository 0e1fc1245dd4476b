"""One Redis connection for a whole process, shared by every greenlet on the line.

Commands gather in a list; one callback per turn of the loop joins and writes them; one reader
wakes each waiter with its reply. A command that somebody awaits fails after `TIMEOUT_S`; one that
nobody awaits is kept until Redis acknowledges it, over reconnects too, unless its sender keeps it
and wants to hear the reply. That is why its scripts are idempotent: a reply that got lost means
that the command runs twice.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import gevent
import hiredis
from gevent import socket, ssl

TIMEOUT_S = 0.1
"""How long the line waits for Redis before it answers without it."""
SILENT_LIMIT_S = 1.0
"""A connection that owes a reply for longer is torn down."""
MAX_TRIES = 50
"""A command that Redis itself refuses this often is dropped, with an alarm in the log."""
_WATCH_EVERY_S = 0.025

log = logging.getLogger(__name__)

_MISSING = object()

OnReply = Callable[[Any], None]
"""Hears the reply of a command: an error of Redis as an exception, None when the connection was lost before."""


class RedisAway(Exception):
    """Redis did not answer in time, or refuses to."""


class _Command:
    __slots__ = ("on_reply", "packed", "reply", "sent_at", "tries", "waiter")

    def __init__(self, packed: bytes, waiter: Any, on_reply: OnReply | None = None) -> None:
        self.packed = packed
        self.waiter = waiter
        self.on_reply = on_reply
        self.reply: Any = _MISSING
        self.sent_at = 0.0
        self.tries = 0


class Pipe:
    """The connection. `scripts` maps names to Lua; they are loaded on each connect."""

    def __init__(self, url: str, scripts: Mapping[str, str]) -> None:
        self._url = urlsplit(url)
        self._scripts = dict(scripts)
        self._shas: dict[str, bytes] = {}
        self._sock: Any = None
        self._raw: Any = None
        self._reader: Any = None
        self._out: list[bytes] = []
        self._writing = False
        self._pending: deque[_Command] = deque()
        self._kept: deque[_Command] = deque()
        self._hub = gevent.get_hub()
        self._closed = False
        self._silent = False

    def start(self) -> None:
        """Connect, now and whenever the connection is lost."""
        gevent.spawn(self._stay_connected)
        gevent.spawn(self._watch)

    @property
    def unacknowledged(self) -> int:
        """Commands sent without waiting that Redis has not confirmed."""
        return sum(command.waiter is None for command in self._pending) + len(self._kept)

    def call(self, *command: Any) -> Any:
        """Run a command and return its reply; raise `RedisAway` after `TIMEOUT_S`."""
        if self._sock is None or self._silent:
            raise RedisAway
        waiting = _Command(hiredis.pack_command(command), gevent.getcurrent())
        self._push(waiting)
        self._hub.switch()
        if isinstance(waiting.reply, Exception):
            raise RedisAway(type(waiting.reply).__name__) from waiting.reply
        return waiting.reply

    def call_script(self, name: str, keys: tuple[Any, ...], *arguments: Any) -> Any:
        """Run a script and return its reply; raise `RedisAway` after `TIMEOUT_S`."""
        if name not in self._shas:
            raise RedisAway
        return self.call(b"EVALSHA", self._shas[name], len(keys), *keys, *arguments)

    def send_script(self, name: str, keys: tuple[Any, ...], *arguments: Any, on_reply: OnReply | None = None) -> None:
        """Run a script without waiting; it is kept until Redis acknowledges it, or until `on_reply` has heard."""
        body = self._scripts[name]
        sha = self._shas.get(name)
        how = (b"EVAL", body) if sha is None else (b"EVALSHA", sha)
        self._send(_Command(hiredis.pack_command((*how, len(keys), *keys, *arguments)), None, on_reply))

    def close(self, limit_s: float) -> int:
        """Wait until everything is acknowledged, at most `limit_s`; return how many commands are not."""
        limit = time.monotonic() + limit_s
        while self.unacknowledged and time.monotonic() < limit:
            gevent.sleep(0.01)
        self._closed = True
        self._drop()
        return self.unacknowledged

    def _send(self, command: _Command) -> None:
        if self._sock is None:
            self._keep(command)
        else:
            self._push(command)

    def _push(self, command: _Command) -> None:
        command.sent_at = time.monotonic()
        self._pending.append(command)
        self._out.append(command.packed)
        if not self._writing:
            self._writing = True
            self._hub.loop.run_callback(self._flush)

    def _flush(self) -> None:
        """Write what gathered this turn. Runs in the loop, so what does not fit goes to a greenlet."""
        data = b"".join(self._out)
        self._out.clear()
        try:
            written = self._raw.send(data) if self._raw is not None else 0
        except OSError:
            written = 0  # a full buffer, or an error that the greenlet meets again where it can be handled
        if written < len(data):
            gevent.spawn(self._write_rest, self._sock, data[written:])
        else:
            self._writing = False

    def _write_rest(self, sock: Any, data: bytes) -> None:
        try:
            while data and sock is self._sock and sock is not None:
                sock.sendall(data)
                data = b"".join(self._out)
                self._out.clear()
        except OSError:
            self._drop()
        if sock is self._sock:
            self._writing = False

    def _stay_connected(self) -> None:
        pause, away = 0.05, False
        while not self._closed:
            try:
                self._connect()
                if away:
                    log.info("redis is back")
                pause, away = 0.05, False
                self._read()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a connection, a new one follows
                if not away and not self._closed:
                    log.warning("redis is away", extra={"cause": type(error).__name__})
                away = True
            self._drop()
            gevent.sleep(pause)
            pause = min(1.0, pause * 2)

    def _connect(self) -> None:
        """Open, log in, load the scripts, send again what was not acknowledged."""
        sock = self._open()
        reader = hiredis.Reader(notEnoughData=_MISSING)
        greeting = self._greeting()
        sock.sendall(b"".join(hiredis.pack_command(command) for command in greeting))
        replies = [_next(reader, sock) for _ in greeting]
        failed = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if failed is not None:
            sock.close()
            raise RedisAway(str(failed))
        self._shas = dict(zip(self._scripts, replies[-len(self._scripts) :], strict=True)) if self._scripts else {}
        sock.settimeout(None)
        self._reader, self._sock = reader, sock
        self._raw = sock._sock if self._url.scheme != "rediss" else None  # noqa: SLF001 - to write without blocking the loop
        self._out.clear()
        self._writing = False
        kept, self._kept = self._kept, deque()
        for command in kept:
            self._push(command)

    def _open(self) -> Any:
        url = self._url
        if url.scheme == "unix":
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(1)
            sock.connect(url.path)
            return sock
        host = url.hostname or "127.0.0.1"
        sock = socket.create_connection((host, url.port or 6379), timeout=1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return ssl.create_default_context().wrap_socket(sock, server_hostname=host) if url.scheme == "rediss" else sock

    def _greeting(self) -> list[tuple[Any, ...]]:
        url, commands = self._url, list[tuple[Any, ...]]()
        if url.password:
            user = (unquote(url.username),) if url.username else ()
            commands.append((b"AUTH", *user, unquote(url.password)))
        database = url.path.strip("/") if url.scheme != "unix" else ""
        if database and database != "0":
            commands.append((b"SELECT", database))
        commands.append((b"PING",))
        return commands + [(b"SCRIPT", b"LOAD", body) for body in self._scripts.values()]

    def _read(self) -> None:
        sock, reader = self._sock, self._reader
        while sock is self._sock:
            while (reply := reader.gets()) is not _MISSING:
                self._resolve(self._pending.popleft(), reply)
                self._silent = False
            data = sock.recv(65536)
            if not data:
                raise RedisAway
            reader.feed(data)

    def _resolve(self, command: _Command, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            self._pending.appendleft(command)
            raise RedisAway("the scripts are gone; connecting again loads them")
        if command.waiter is not None:
            self._wake(command, reply)
        elif command.on_reply is not None:
            command.on_reply(reply)
        elif isinstance(reply, hiredis.ReplyError):
            self._refused(command, reply)

    def _refused(self, command: _Command, error: Exception) -> None:
        """Redis answered what nobody waits for with an error: try again later, within reason."""
        command.tries += 1
        if command.tries < MAX_TRIES:
            gevent.spawn_later(1, self._send, command)
        else:
            log.error("redis refuses a settlement; it is lost", extra={"cause": str(error)[:80]})

    def _wake(self, command: _Command, reply: Any) -> None:
        if command.reply is _MISSING:
            command.reply = reply
            self._hub.loop.run_callback(command.waiter.switch)

    def _drop(self) -> None:
        """Give the connection up: fail who waits, keep what nobody waits for."""
        sock, self._sock = self._sock, None
        self._raw, self._writing, self._silent = None, False, False
        self._out.clear()
        if sock is not None:
            sock.close()
        pending, self._pending = self._pending, deque()
        for command in pending:
            if command.waiter is None:
                self._keep(command)
            else:
                self._wake(command, RedisAway("the connection was lost"))

    def _keep(self, command: _Command) -> None:
        """Keep what nobody waits for, or give it back to the sender who does."""
        if command.on_reply is not None:
            command.on_reply(None)
        else:
            self._kept.append(command)

    def _watch(self) -> None:
        """Fail what waits too long. A round that comes late itself says nothing about Redis."""
        last = time.monotonic()
        while not self._closed:
            gevent.sleep(_WATCH_EVERY_S)
            now = time.monotonic()
            late, last = now - last > 2 * _WATCH_EVERY_S, now
            if self._pending and not late:
                self._fail_overdue(now)

    def _fail_overdue(self, now: float) -> None:
        if now - self._pending[0].sent_at > SILENT_LIMIT_S:
            self._drop()
            return
        for command in self._pending:
            if now - command.sent_at <= TIMEOUT_S:
                return
            self._silent = True
            if command.waiter is not None:
                self._wake(command, RedisAway("no answer in time"))


def _next(reader: Any, sock: Any) -> Any:
    while (reply := reader.gets()) is _MISSING:
        data = sock.recv(65536)
        if not data:
            raise RedisAway
        reader.feed(data)
    return reply
