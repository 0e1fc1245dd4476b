"""People for the console's tests, made with one call each; every function works in the app context that is pushed."""

import re
from collections.abc import Mapping
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient

from app.auth import passwords, permissions, sessions
from app.auth.tables import UserRow
from app.console import guard
from app.extensions import transaction
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import members
from tests.factories import unique

PASSWORD = "a-password-for-tests"


@dataclass(frozen=True)
class Person:
    """Somebody signed in: the cookie that says so, and the token that the forms of that session carry."""

    user_id: UUID
    email: str
    cookie: str
    form_token: str

    def client(self, app: Flask) -> "Browser":
        return Browser(app.test_client(), self)


class Browser:
    """A person's browser without the browser: a test client that carries the cookie, and the token in its forms.

    Each request has an app context of its own, as in a server, and shares nothing with the test's.
    """

    def __init__(self, client: FlaskClient, person: Person | None = None) -> None:
        self.client, self.person = client, person
        if person:
            client.set_cookie(guard.SESSION_COOKIE, person.cookie)

    def get(self, path: str, **options: Any) -> Any:
        return self._open(path, method="GET", **options)

    def post(self, path: str, form: Mapping[str, object] | None = None, **options: Any) -> Any:
        """Send a form with its token."""
        token = self.person.form_token if self.person else self._visitors_token()
        return self._open(path, method="POST", data={"csrf_token": token} | dict(form or {}), **options)

    def _open(self, path: str, **options: Any) -> Any:
        return Context().run(partial(self.client.open, path, **options))

    def _visitors_token(self) -> str:
        """The token in the forms of somebody who is not signed in, from a page that needs no database."""
        page = self.get("/sign-in/callback").get_data(as_text=True)
        return re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]

    def send(self, method: str, path: str, form: Mapping[str, object] | None = None, **options: Any) -> Any:
        return self.get(path, **options) if method == "GET" else self.post(path, form, **options)


def person(*, platform_role: str | None = None, name: str = "Somebody", password: str | None = None) -> Person:
    """Make an account and sign it in."""
    email = f"{unique('person')}@example.test"
    row = UserRow(user_id=new_id(), email=email, name=name, granted_platform_role=platform_role)
    row.password_hash = passwords.hash_of(password) if password else None
    with transaction(PLATFORM_ID) as session:
        session.add(row)
        user_id = row.user_id
    return sign_in(user_id, email)


def sign_in(user_id: UUID, email: str) -> Person:
    """Begin a session of an account."""
    cookie = sessions.start(user_id, ip="127.0.0.1", user_agent="tests", now=utc_now())
    return Person(user_id, email, cookie, sessions.form_tokens(cookie)[0])


def member(workspace_id: UUID, role: str, **account: Any) -> Person:
    """Make an account with a role in a workspace, and sign it in."""
    made = person(**account)
    members.add(workspace_id, made.user_id, role, name=made.email)
    return made


EVERYBODY = (*permissions.ROLES, "platform admin", "platform auditor", "stranger", "nobody")
"""Who comes to the console: each role of a workspace, those of the platform, somebody without a role, nobody."""


def as_(who: str, workspace_id: UUID) -> Person | None:
    """Make one of `EVERYBODY`; roles of a workspace are held in the one given."""
    if who == "nobody":
        return None
    if who in permissions.ROLES:
        return member(workspace_id, who)
    return person(platform_role=who.removeprefix("platform ") if who.startswith("platform ") else None)
