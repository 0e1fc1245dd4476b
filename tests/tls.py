"""TLS for tests: a private certificate authority, and a site whose answers a test lists."""

import json
import ssl
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import trustme

from tests.loopback import Loopback


class Authority:
    """A private certificate authority, as a company has one: its file, and a server certificate for some hosts."""

    def __init__(self, folder: Path, *hosts: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        leaf = authority.issue_cert(*(hosts or ("localhost",)))
        self.ca_file, self.key, self.certificate = (folder / name for name in ("ca.pem", "key.pem", "cert.pem"))
        authority.cert_pem.write_to_path(str(self.ca_file))
        leaf.private_key_pem.write_to_path(str(self.key))
        leaf.cert_chain_pems[0].write_to_path(str(self.certificate))


class Site(Loopback):
    """A site on localhost over TLS. `answers` has, by path and query, a status and what is sent as JSON, or raw bytes."""

    def __init__(self, authority: Authority) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority.certificate, authority.key)
        super().__init__(self._handler(), context)
        self.url = f"https://localhost:{self.port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, dict(self.headers)))
                status, answer = site.answers.get(self.path, (404, {}))
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", answer["to"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                site.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
