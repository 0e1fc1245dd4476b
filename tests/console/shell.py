"""The console's frame without any server: apps of this process whose database and Redis are not there."""

from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from tests.conftest import Database
from tests.people import Browser

NO_SERVER = Database("", "postgresql://app:x@127.0.0.1:1/gateway", "")
BY_HTMX = {"HX-Request": "true"}
BY_BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def app_without_servers(**settings: Any) -> Flask:
    return create_app(NO_SERVER.settings("redis://127.0.0.1:1/0", **settings))


def visitor(app: Flask) -> Browser:
    """Somebody who is not signed in."""
    return Browser(app.test_client())


def text_of(client: FlaskClient | Browser, path: str, **options: Any) -> str:
    return str(client.get(path, **options).get_data(as_text=True))
