"""Where alerts arrive: an SMTP server and an HTTP server on loopback, each in a thread, each doing what a test says."""

import socketserver
import ssl
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast


@dataclass
class Mailbox:
    """What an SMTP server took.

    `answers` are what it says to a verb instead of the usual; `refuses` are addresses that it answers 550 for.
    With `tls` it offers STARTTLS; with `password`, a name and a password, AUTH. `signed_in` has who did, and
    `encrypted` for each mail whether it came over TLS.
    """

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    answers: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    password: tuple[str, str] | None = None
    signed_in: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"


@dataclass
class Hook:
    """What an HTTP server was sent, and the statuses that it answers in turn; the last one stays."""

    port: int = 0
    statuses: list[int] = field(default_factory=lambda: [200])
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answer: bytes = b"ok"
    location: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"


class _Mail(socketserver.StreamRequestHandler):
    """As much of RFC 5321, 3207 and 4954 as smtplib speaks."""

    def handle(self) -> None:
        self.mailbox: Mailbox = cast(Any, self.server).mailbox
        self.to: list[str] = []
        self.say("220 mail.test")
        with suppress(OSError):
            while line := self.rfile.readline().decode().strip():
                verb, _, rest = line.partition(" ")
                self.answer(verb.upper(), rest)
                if verb.upper() == "QUIT":
                    return

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def answer(self, verb: str, rest: str) -> None:
        if verb in self.mailbox.answers:
            self.say(self.mailbox.answers[verb])
        elif handler := getattr(self, f"on_{verb.lower()}", None):
            handler(rest)
        else:
            self.say("221 bye" if verb == "QUIT" else "250 ok")

    def on_ehlo(self, _: str) -> None:
        offers = ["STARTTLS"] if self.mailbox.tls and not self.is_encrypted else []
        offers += ["AUTH PLAIN"] if self.mailbox.password else []
        lines = ["mail.test", *offers]
        for line in lines[:-1]:
            self.say(f"250-{line}")
        self.say(f"250 {lines[-1]}")

    def on_starttls(self, _: str) -> None:
        assert self.mailbox.tls
        self.say("220 go on")
        self.connection = self.mailbox.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

    def on_auth(self, rest: str) -> None:
        _, name, password = b64decode(rest.partition(" ")[2]).decode().split("\0")
        known = (name, password) == self.mailbox.password
        self.mailbox.signed_in += [name] if known else []
        self.say("235 welcome" if known else "535 wrong name or password")

    def on_rcpt(self, rest: str) -> None:
        address = rest.partition("<")[2].partition(">")[0]
        refused = address in self.mailbox.refuses
        self.to += [] if refused else [address]
        self.say("550 no such mailbox" if refused else "250 ok")

    def on_data(self, _: str) -> None:
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        self.mailbox.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))
        self.mailbox.recipients.append(self.to)
        self.mailbox.encrypted.append(self.is_encrypted)
        self.say("250 taken")

    @property
    def is_encrypted(self) -> bool:
        return isinstance(self.connection, ssl.SSLSocket)

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class _Post(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        hook: Hook = cast(Any, self.server).hook
        hook.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        hook.paths.append(self.path)
        hook.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(hook.statuses.pop(0) if len(hook.statuses) > 1 else hook.statuses[0])
        if hook.location:
            self.send_header("Location", hook.location)
        self.send_header("Content-Length", str(len(hook.answer)))
        self.end_headers()
        self.wfile.write(hook.answer)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def mailbox(tls: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    """Run an SMTP server while the block runs; with `tls`, one that speaks it from the first byte."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    found = Mailbox(port=server.server_address[1])
    server.mailbox = found  # type: ignore[attr-defined]
    with _running(server):
        yield found


@contextmanager
def hook() -> Iterator[Hook]:
    """Run an HTTP server while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Post)
    found = Hook(port=server.server_address[1])
    server.hook = found  # type: ignore[attr-defined]
    with _running(server):
        yield found


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
