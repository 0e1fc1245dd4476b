"""A browser at the gateway's real processes: any of them may answer, each request on a connection of its own."""

from typing import Any

import httpx

from app.console import guard
from tests import people
from tests.console import reading
from tests.gateway_process import Gateway


class Remote:
    """Somebody signed in at a running gateway."""

    def __init__(self, gateway: Gateway, person: people.Person) -> None:
        self.gateway, self.person = gateway, person

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._send("GET", path, None, headers)

    def post(self, path: str, form: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        return self._send("POST", path, {"csrf_token": self.person.form_token} | (form or {}), headers)

    def save(self, page: str, action: str | None = None, **typed: Any) -> httpx.Response:
        """Open a page, type over some fields of its form and send it."""
        form = reading.form(self.get(page).text, action or page)
        return self.post(form.action, form.values(**typed))

    def _send(self, method: str, path: str, form: dict[str, Any] | None, headers: dict[str, str]) -> httpx.Response:
        cookie = {"Cookie": f"{guard.SESSION_COOKIE}={self.person.cookie}"}
        with httpx.Client(base_url=self.gateway.url, trust_env=False, timeout=30) as client:
            return client.request(method, path, data=form, headers=cookie | headers)
