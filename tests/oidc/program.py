"""The identity provider of the tests: a certified OIDC provider in Node.js, over TLS, dressed as an Entra ID tenant."""

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx

from deploy.local import embedded
from tests.gateway_process import eventually
from tests.tls import Authority

FOLDER = Path(__file__).parent
EXISTS = shutil.which("node") is not None and (FOLDER / "node_modules/oidc-provider").is_dir()
TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT_ID, CLIENT_SECRET = "aaaaaaaa-0000-4000-8000-000000000001", "a-client-secret-for-tests"
START_LIMIT_S = 20.0


class IdentityProvider:
    """The program. `url` is an Entra ID host, with a tenant below; and the issuer of a plain provider."""

    def __init__(self, authority: Authority, folder: Path, *, redirects: Iterable[str], signed_out: Iterable[str]):
        self.port = embedded.free_port()
        self.url, self.graph_url = f"https://localhost:{self.port}", f"https://localhost:{self.port}/graph"
        self.people: dict[str, dict[str, Any]] = {}
        settings = {
            "port": self.port,
            "tenant": TENANT,
            "clientId": CLIENT_ID,
            "clientSecret": CLIENT_SECRET,
            "redirects": list(redirects),
            "signedOut": list(signed_out),
            "key": str(authority.key),
            "certificate": str(authority.certificate),
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        self.log = folder / "provider.log"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                ["node", str(FOLDER / "provider.mjs"), str(folder / "settings.json")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.verify = ssl.create_default_context(cafile=authority.ca_file)
        self.client = httpx.Client(base_url=self.url, verify=self.verify, trust_env=False, timeout=10)
        try:
            eventually(self._is_ready, START_LIMIT_S)
        except BaseException:
            self.stop()
            raise

    def knows(self, login: str, **claims: Any) -> str:
        """Have somebody sign in there by this login; claims with an underscore tell the program how to behave."""
        self.people[login] = {"name": login.title(), "email": f"{login}@corp.test"} | claims
        self.client.post("/_people", json=self.people).raise_for_status()
        return login

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(10)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return "ready" in self.log.read_text()
