"""Identity providers that tests play: what they publish over HTTP or TLS, and the tokens that they sign."""

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.tls import Authority

API = "5e0c6f2a-1f0b-4c57-9a3e-7b1de6b0a001"
"""The gateway's own id at the provider: what tokens for it have as their audience."""
LIMIT_S = 60.0


def public(key: rsa.RSAPrivateKey, **members: Any) -> dict[str, Any]:
    """Write a key down as issuers publish it, with its `kid` and other members; None leaves one out."""
    found: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    del found["key_ops"]
    shown = found | {"use": "sig"} | members
    return {name: value for name, value in shown.items() if value is not None}


class Issuer:
    """One tenant of Entra, or one OpenID Connect issuer. Counts in `asked` how often its keys were read.

    `odd` changes keys as they are published, by their ids; `instead` is served in place of the discovery document.
    """

    def __init__(self, root: str, kind: str = "entra") -> None:
        self.kind, self.tenant = kind, str(uuid4())
        self.authority = f"{root}/{uuid4().hex[:8]}"
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.published: list[str] = []
        self.newest = self.rotate()
        self.asked = self.refused = 0
        self.odd: dict[str, dict[str, Any]] = {}
        self.instead: Any = None
        self.away = False
        self.answers = threading.Event()
        self.answers.set()

    @property
    def base(self) -> str:
        return f"{self.authority}/{self.tenant}/v2.0" if self.kind == "entra" else self.authority

    @property
    def token_tenant(self) -> str:
        """What a key's row has as its tenant."""
        return self.tenant if self.kind == "entra" else self.authority

    def rotate(self, *, keep: bool = True) -> str:
        """Sign with a new key from now on; without `keep` the others are taken back."""
        kid = uuid4().hex
        self.keys[kid] = rsa.generate_private_key(65537, 2048)
        self.published = [*(self.published if keep else ()), kid]
        self.newest = kid
        return kid

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a program's token says; a change to None leaves a claim out."""
        now, program = int(time.time()), str(uuid4())
        common = {"aud": API, "exp": now + 3600, "nbf": now - 5, "iat": now - 5, "sub": program, "azp": str(uuid4())}
        entra = {"iss": self.base, "tid": self.tenant, "oid": program, "ver": "2.0"}
        found = common | (entra if self.kind == "entra" else {"iss": self.authority}) | changes
        return {name: value for name, value in found.items() if value is not None}

    def token(self, *, kid: str | None = None, **changes: Any) -> str:
        """Sign a token with the newest key, or with another one that it has."""
        kid = kid or self.newest
        return jwt.encode(self.claims(**changes), self.keys[kid], "RS256", headers={"kid": kid})

    def document(self, path: str) -> Any:
        """What is published at a path; None: nothing."""
        if path == f"{self.base}/.well-known/openid-configuration":
            return self.instead if self.instead is not None else {"issuer": self.base, "jwks_uri": f"{self.base}/keys"}
        if path != f"{self.base}/keys":
            return None
        self.asked += 1
        return {
            "keys": [
                {"kty": "EC", "kid": "unreadable"},
                *(public(self.keys[kid], **{"kid": kid} | self.odd.get(kid, {})) for kid in self.published),
            ]
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Clients that do not trust a certificate, or have waited long enough, leave."""


class IssuerServer:
    """Serves any number of issuers, over TLS when it has a folder for the certificates; `ca_file` is to be trusted."""

    def __init__(self, folder: Path | None = None) -> None:
        self.issuers: list[Issuer] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        if folder:
            authority = Authority(folder)
            self.ca_file = authority.ca_file
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.certificate, authority.key)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'https' if folder else 'http'}://localhost:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def issuer(self, kind: str = "entra") -> Issuer:
        """Add an issuer."""
        self.issuers.append(Issuer(self.url, kind))
        return self.issuers[-1]

    def stop(self) -> None:
        for issuer in self.issuers:
            issuer.answers.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        address = f"{self.url}{request.path}"
        issuer = next((one for one in self.issuers if address.startswith(one.authority)), None)
        found = issuer.document(address) if issuer else None
        if issuer:
            issuer.answers.wait(LIMIT_S)
        if found is None or (issuer and issuer.away):
            if issuer:
                issuer.refused += 1
            request.send_error(503 if found else 404)
            return
        body = json.dumps(found).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
