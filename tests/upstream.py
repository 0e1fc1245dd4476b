"""A scripted upstream on a raw socket: it sends exactly the bytes a test lists, and records what it was sent.

A script is a list of steps: bytes go out as they are, a callable does something with the exchange.
The names are the shorthand of the case list: HS, C(x), F, U(p, c), D, END, J(p, c), E(status, body), hold, rst.
"""

import contextlib
import gzip
import json
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any

LIMIT_S = 30.0
"""Nothing here waits longer than this."""


@dataclass
class Request:
    """One request as it came in, and what was sent back when (monotonic seconds)."""

    head: bytes
    body: bytes
    connection: int
    at: float
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)
    closed_at: float = 0.0

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode("latin-1")

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines if line)]

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)

    def wait_closed(self, limit_s: float = LIMIT_S) -> float:
        """Wait until the gateway has closed the connection; answer when."""
        assert self.closed.wait(limit_s), f"the gateway kept the connection for {limit_s} s"
        return self.closed_at


@dataclass
class Exchange:
    """One request being answered."""

    socket: socket.socket
    request: Request
    stopping: threading.Event

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)
        self.request.sent.append((time.monotonic(), data))


Step = bytes | Callable[[Exchange], None]


# Steps.


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def sse(text: str) -> bytes:
    """Text of an event stream, as one chunk."""
    return chunk(text.encode())


def event(value: object) -> bytes:
    """One `data:` event."""
    return sse(f"data: {json.dumps(value, ensure_ascii=False)}\n\n")


def delta(content: str | None = None, *, finish: str | None = None, **members: object) -> dict[str, Any]:
    """A chat.completion.chunk."""
    said = {"role": "assistant", "content": content} if content is not None else {}
    choices = [{"index": 0, "delta": said, "finish_reason": finish}]
    about = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "upstream-model"}
    return {**about, "choices": choices, **members}


def usage_of(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def head(status: int, content_type: str, *headers: str, length: int | None = None) -> bytes:
    """A status line and headers; without a length the body is chunked."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {content_type}", framing, *headers]
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n"


def reply(status: int, body: bytes, content_type: str = "application/json", *headers: str) -> bytes:
    """A whole answer."""
    return head(status, content_type, *headers, length=len(body)) + body


HS = head(200, "text/event-stream")
END = b"0\r\n\r\n"
D = sse("data: [DONE]\n\n")
F = event(delta(finish="stop"))


def C(content: str) -> bytes:  # noqa: N802 - the shorthand of the case list
    return event(delta(content))


def U(prompt: int, completion: int) -> bytes:  # noqa: N802 - the shorthand of the case list
    return event({**delta(usage=usage_of(prompt, completion)), "choices": []})


def completion(
    prompt: int = 0, output: int = 0, *, content: str = "ok", finish: str = "stop", **members: object
) -> dict[str, Any]:
    """A chat.completion; without tokens given as members it reports `prompt` and `output`."""
    message = {"role": "assistant", "content": content}
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    about = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "upstream-model"}
    return {**about, "choices": choices, "usage": usage_of(prompt, output), **members}


def J(prompt: int, output: int, **options: Any) -> bytes:  # noqa: N802 - the shorthand of the case list
    return reply(200, json.dumps(completion(prompt, output, **options)).encode())


def E(status: int, body: object, *headers: str) -> bytes:  # noqa: N802 - the shorthand of the case list
    return reply(status, json.dumps(body).encode(), "application/json", *headers)


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def stream(*contents: str, tokens: tuple[int, int] = (10, 100)) -> list[Step]:
    """A whole good stream."""
    return [HS, *(C(content) for content in contents), F, U(*tokens), D, END]


def hold(exchange: Exchange) -> None:
    """Keep the connection open and say nothing until the gateway closes it."""
    while not exchange.stopping.is_set() and not exchange.request.closed.is_set():
        readable, _, _ = select.select([exchange.socket], [], [], 0.02)
        if readable and not exchange.socket.recv(65536):
            raise ConnectionAbortedError


def rst(exchange: Exchange) -> None:
    """Reset the connection."""
    exchange.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionAbortedError


def close(_: Exchange) -> None:
    """Close the connection in order."""
    raise ConnectionAbortedError


def sleep(seconds: float) -> Step:
    """Be slow."""
    return lambda exchange: void(exchange.stopping.wait(seconds))


def wait_for(condition: threading.Event) -> Step:
    """Go on when the test says so."""
    return lambda _: void(condition.wait(LIMIT_S))


def void(_: object) -> None:
    return None


class Upstream:
    """The server. Scripts come from `for_model`, then the queue filled by `will`, then `always`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._queue: deque[list[Step]] = deque()
        self._by_model: dict[str, list[Step]] = {}
        self._default: list[Step] = [J(10, 100)]
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def will(self, *script: Step) -> None:
        """Answer the next request without a script with this one."""
        self._queue.append(list(script))

    def always(self, *script: Step) -> None:
        """Answer every request that nothing else answers with this script."""
        self._default = list(script)

    def for_model(self, name: str, *script: Step) -> None:
        """Answer requests for one upstream model with this script."""
        self._by_model[name] = list(script)

    def wait_for_requests(self, count: int, limit_s: float = LIMIT_S) -> list[Request]:
        """Wait until so many requests have come in since the start."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.requests) >= count, limit_s)
        assert came, f"{len(self.requests)} of {count} requests came"
        return self.requests

    def stop(self) -> None:
        self.stopping.set()
        for open_socket in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        mine: list[Request] = []
        try:
            with connection.makefile("rb") as reader:  # the socket stays open as long as it
                while (request := _read(reader, number)) is not None:
                    mine.append(request)
                    self._record(request)
                    self._answer(Exchange(connection, request, self.stopping))
        except (OSError, ValueError):
            pass
        finally:
            connection.close()
            self._open.discard(connection)
            for request in mine:
                request.closed_at = time.monotonic()
                request.closed.set()

    def _record(self, request: Request) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def _answer(self, exchange: Exchange) -> None:
        for step in self._script(exchange.request):
            if isinstance(step, bytes):
                exchange.send(step)
            else:
                step(exchange)

    def _script(self, request: Request) -> list[Step]:
        with contextlib.suppress(ValueError, AttributeError):
            script = self._by_model.get(request.json.get("model"))
            if script is not None:
                return script
        with contextlib.suppress(IndexError):
            return self._queue.popleft()
        return self._default


def _read(reader: Any, connection: int) -> Request | None:
    """Read one request; None when the peer has closed."""
    lines = []
    while (line := reader.readline()) not in (b"\r\n", b""):
        lines.append(line)
    if not line:
        return None
    request = Request(b"".join(lines), b"", connection, time.monotonic())
    if request.header("transfer-encoding") == "chunked":
        request.body = b"".join(_chunks(reader))
    else:
        request.body = reader.read(int(request.header("content-length") or 0))
    return request


def _chunks(reader: Any) -> Any:
    while size := int(reader.readline(), 16):
        yield reader.read(size)
        reader.readline()
    reader.readline()
