"""The proxy of a company: nothing gets out but through it, and it signs what comes back with the company's own authority."""

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback import Loopback
from tests.tls import Site


class CorporateProxy(Loopback):
    """Takes CONNECT for any host, of which there need be none, and leads it to a site. `asked` are the hosts."""

    def __init__(self, site: Site) -> None:
        self.asked: list[str] = []
        self._site = site
        super().__init__(self._handler())
        self.url = f"http://127.0.0.1:{self.port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                proxy.asked.append(self.path)
                with socket.create_connection(("127.0.0.1", proxy._site.port)) as upstream:
                    self.send_response(200)
                    self.end_headers()
                    there = threading.Thread(target=_carry, args=(self.connection, upstream))
                    there.start()
                    _carry(upstream, self.connection)
                    there.join()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    except (OSError, ssl.SSLError):
        source.close()
