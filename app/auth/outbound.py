"""HTTP to identity providers, for signing in: the machine's proxies, the usual certificate authorities and CA_FILE's."""

import io
import ssl
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

CONNECT_S, READ_S = 5, 10


class Unreachable(Exception):
    """An identity provider does not answer, or not with what can be used; says why."""


class Session(requests.Session):
    """Requests that end in time and go where they were sent: no identity provider redirects what we ask it.

    What is in `known`, text by address, is not asked again.
    """

    def __init__(self, ca_file: Path | None = None) -> None:
        super().__init__()
        self.known: dict[str, str] = {}
        if ca_file:
            self.mount("https://", _Adapter(ca_file))

    def request(self, method: str, address: str, *arguments: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send a request; raise `requests.RequestException`."""
        if method == "GET" and address in self.known:
            return _answer(self.known[address])
        options["allow_redirects"] = False
        options.setdefault("timeout", (CONNECT_S, READ_S))
        return super().request(method, address, *arguments, **options)

    def json(self, address: str, **options: Any) -> dict[str, Any]:
        """Read a JSON object; raise `Unreachable`."""
        try:
            answer = self.get(address, **options)
            found = answer.json() if answer.status_code == requests.codes.ok else None
        except requests.RequestException as error:
            raise Unreachable(f"{address} cannot be read: {error}") from error
        if not isinstance(found, dict):
            raise Unreachable(f"{address} answers {answer.status_code} {answer.reason}, and no JSON object")
        return found


def _answer(text: str) -> requests.Response:
    answer = requests.Response()
    answer.status_code, answer.encoding, answer.raw = 200, "utf-8", io.BytesIO(text.encode())
    return answer


class _Adapter(HTTPAdapter):
    """Trusts the certificates of a file besides those that requests goes by, through a proxy too."""

    def __init__(self, ca_file: Path) -> None:
        self._ca_file = ca_file
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, ssl_context=self._context())

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        return super().proxy_manager_for(*arguments, **options, ssl_context=self._context())

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.load_verify_locations(self._ca_file)
        return context
