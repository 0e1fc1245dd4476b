"""A small upstream that answers at once: it repeats the last thing the user said.

It speaks OpenAI's chat dialect on loopback and the gateway reaches it like any other provider.
One word is one token: the prompt has the words of all messages, the answer those that are
repeated. The same request always gets the same answer, but for its id and time.
"""

import json
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "echo"
NOTHING_SAID = "(silence)"
BODY_LIMIT_BYTES = 32 * 1024 * 1024


class EchoServer(ThreadingHTTPServer):
    """Serves each connection in a thread of its own, on loopback only."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Echo)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that left; anything else is a fault of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Echo(BaseHTTPRequestHandler):
    """Answers `POST /v1/chat/completions` and `GET /v1/models`."""

    protocol_version = "HTTP/1.1"
    timeout = 300

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is http.server's
        """Say nothing: the gateway logs the call."""

    def version_string(self) -> str:
        return "echo"

    def do_GET(self) -> None:
        if self._has_key() and self._is_at("/v1/models"):
            self._json(HTTPStatus.OK, {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": MODEL}]})

    def do_POST(self) -> None:
        body = self._body()
        if body is None or not self._has_key() or not self._is_at("/v1/chat/completions"):
            return
        try:
            request = json.loads(body)
            messages = [_text(message.get("content")) for message in request["messages"]]
            said = [_text(m.get("content")) for m in request["messages"] if m["role"] == "user"]
        except (ValueError, KeyError, TypeError, AttributeError):
            self._problem(HTTPStatus.BAD_REQUEST, "The body must be JSON with `messages`.")
            return
        answer = said[-1] if said and said[-1] else NOTHING_SAID
        usage = _usage(" ".join(messages), answer)
        if request.get("stream"):
            self._stream(answer, usage if (request.get("stream_options") or {}).get("include_usage") else None)
        else:
            self._json(HTTPStatus.OK, _completion(answer, usage))

    def _has_key(self) -> bool:
        scheme, _, key = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and key.strip():
            return True
        self._problem(HTTPStatus.UNAUTHORIZED, "Send any key as `Authorization: Bearer ...`.")
        return False

    def _is_at(self, path: str) -> bool:
        if self.path.partition("?")[0] == path:
            return True
        self._problem(HTTPStatus.NOT_FOUND, "There is nothing here.")
        return False

    def _body(self) -> bytes | None:
        """Read the whole body, so that the connection can be used again; None once refused."""
        length = self.headers.get("Content-Length", "0")
        if length.isdigit() and int(length) <= BODY_LIMIT_BYTES:
            return self.rfile.read(int(length))
        self.close_connection = True
        self._problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large or has no length.")
        return None

    def _problem(self, status: HTTPStatus, message: str) -> None:
        kind = "invalid_request_error"
        self._json(status, {"error": {"message": message, "type": kind, "param": None, "code": None}})

    def _json(self, status: HTTPStatus, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, answer: str, usage: dict[str, int] | None) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in _events(answer, usage):
            line = f"data: {event}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")


def _text(content: Any) -> str:
    """Take the text of a message, which may also be a list of parts."""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content or () if part.get("type") == "text")


def _usage(prompt: str, answer: str) -> dict[str, int]:
    asked, said = len(prompt.split()), len(answer.split())
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _completion(answer: str, usage: dict[str, int]) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _envelope("chat.completion") | {"choices": [choice], "usage": usage}


def _events(answer: str, usage: dict[str, int] | None) -> Iterator[str]:
    """Make the events of a stream: the role, the text word by word, the end, then usage if it was asked for."""
    envelope = _envelope("chat.completion.chunk") | ({"usage": None} if usage else {})

    def chunk(delta: dict[str, str], finish: str | None = None) -> str:
        return json.dumps(envelope | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield chunk({"role": "assistant", "content": ""})
    for piece in _pieces(answer):
        yield chunk({"content": piece})
    yield chunk({}, "stop")
    if usage:
        yield json.dumps(envelope | {"choices": [], "usage": usage})
    yield "[DONE]"


def _pieces(answer: str) -> Iterator[str]:
    """Cut before each space; the pieces together are the answer."""
    first, *rest = answer.split(" ")
    yield first
    yield from (f" {word}" for word in rest)


def _envelope(kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": MODEL}


if __name__ == "__main__":
    EchoServer(int(sys.argv[1])).serve_forever()
