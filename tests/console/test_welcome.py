from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from tests.conftest import Database
from tests.gateway_process import close_app

NO_SERVER = Database("", "postgresql://app:x@127.0.0.1:1/gateway", "")


def app_of(role: str) -> Flask:
    return create_app(NO_SERVER.settings("redis://127.0.0.1:1/0", role=role))


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    app = app_of("all")
    yield app.test_client()
    close_app(app)


def test_the_page_shows_the_address_that_the_reader_came_by(client: FlaskClient) -> None:
    page = client.get("/", headers={"Host": "gateway.example.test:8443"})

    assert page.status_code == 200
    assert "curl http://gateway.example.test:8443/v1/chat/completions" in page.get_data(as_text=True)


@pytest.mark.parametrize("host", ["<script>alert(1)</script>", "a;rm -rf .", "a/b", "x$(id)", 'a"b'])
def test_a_host_that_is_no_host_is_not_repeated(client: FlaskClient, host: str) -> None:
    page = client.get("/", environ_overrides={"HTTP_HOST": host})

    assert host not in page.get_data(as_text=True)
    assert page.status_code == 400 or "curl http://127.0.0.1:8080/v1" in page.get_data(as_text=True)


def test_the_page_takes_nothing_from_outside(client: FlaskClient) -> None:
    page = client.get("/")

    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    text = page.get_data(as_text=True)
    assert "<script" not in text
    assert "style=" not in text
    assert "https://" not in text


def test_what_the_page_refers_to_is_there(client: FlaskClient) -> None:
    for path in ("/static/welcome.css", "/static/mark.svg"):
        assert path in client.get("/").get_data(as_text=True)
        with client.get(path) as file:
            assert file.status_code == 200


def test_a_proxy_has_no_page() -> None:
    app = app_of("proxy")
    answer = app.test_client().get("/")
    close_app(app)

    assert answer.status_code == 404
