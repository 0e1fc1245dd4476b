import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.logging import readiness
from tests.conftest import Database
from tests.gateway_process import close_app

METRICS_PORT = 19_090


class Listener:
    """A listening socket as gunicorn shows it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self.port


def app_of(database: Database, redis_url: str, **changes: Any) -> Flask:
    return create_app(database.settings(redis_url, metrics_port=METRICS_PORT, **changes))


@pytest.fixture(params=["proxy", "all"])
def proxy(request: pytest.FixtureRequest, fresh_database: Database, redis_url: str) -> Iterator[FlaskClient]:
    app = app_of(fresh_database, redis_url, role=request.param)
    before = readiness.declared()
    readiness.declare(readiness.STARTING, lambda: True)
    readiness.declare(readiness.DRAINING, lambda: True)
    yield app.test_client()
    for name in (readiness.STARTING, readiness.DRAINING):
        readiness.withdraw(name)
    for name, check in before.items():
        readiness.declare(name, check)
    close_app(app)


@pytest.fixture
def console(fresh_database: Database, redis_url: str) -> Iterator[FlaskClient]:
    app = app_of(fresh_database, redis_url, role="console")
    yield app.test_client()
    close_app(app)


@pytest.fixture
def nowhere() -> Iterator[FlaskClient]:
    """A console whose database and Redis are ports that nobody listens on."""
    lost = Database("", "postgresql://app:x@127.0.0.1:1/gateway", "")
    app = app_of(lost, "redis://127.0.0.1:1/0", role="console")
    yield app.test_client()
    close_app(app)


def test_alive_says_so_and_touches_nothing(nowhere: FlaskClient) -> None:
    answer = nowhere.get("/healthz")

    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_proxy_with_its_catalogue_is_ready(proxy: FlaskClient) -> None:
    answer = proxy.get("/readyz")

    assert (answer.status_code, answer.json) == (200, {"status": "ready"})


def test_a_draining_proxy_is_not_ready(proxy: FlaskClient) -> None:
    readiness.declare(readiness.DRAINING, lambda: False)

    answer = proxy.get("/readyz")

    assert (answer.status_code, answer.json) == (503, {"status": "not_ready", "reasons": ["draining"]})


def test_a_proxy_that_has_not_started_is_not_ready(proxy: FlaskClient) -> None:
    readiness.withdraw(readiness.STARTING)

    answer = proxy.get("/readyz")

    assert (answer.status_code, answer.json["reasons"]) == (503, ["starting"])


def test_bc_138_a_proxy_stays_ready_while_the_database_is_away(
    proxy: FlaskClient, servers: Any, fresh_database: Database
) -> None:
    with servers.away(fresh_database):
        assert proxy.get("/readyz").status_code == 200


def test_a_console_with_its_database_is_ready(console: FlaskClient) -> None:
    assert console.get("/readyz").status_code == 200


def test_a_console_without_its_database_is_not_ready(nowhere: FlaskClient) -> None:
    answer = nowhere.get("/readyz")

    assert (answer.status_code, answer.json["reasons"]) == (503, ["database"])


def test_bc_138_a_console_whose_database_hangs_answers_within_a_second(redis_url: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://app:x@127.0.0.1:{silent.getsockname()[1]}/gateway"
        app = app_of(Database("", url, ""), redis_url, role="console")
        began = time.monotonic()
        answer = app.test_client().get("/readyz")
        took_s = time.monotonic() - began
        close_app(app)

    assert (answer.status_code, answer.json["reasons"]) == (503, ["database"])
    assert took_s < 1


def test_metrics_are_shown_on_their_own_socket(proxy: FlaskClient) -> None:
    answer = proxy.get("/metrics", environ_overrides={"gunicorn.socket": Listener(METRICS_PORT)})

    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    for reading in ("line", "node", "redis", "jobs", "database"):
        assert f'gateway_reading_up{{reading="{reading}"}} 1.0' in text
    assert "gateway_database_up 1.0" in text
    assert "gateway_ingest_rejected_events 0.0" in text
    assert 'gateway_default_partition_bytes{table="usage_event"} 0.0' in text
    assert "gateway_calls_in_flight" in text


def test_bc_133_metrics_are_not_shown_anywhere_else(proxy: FlaskClient) -> None:
    elsewhere = [{}, {"gunicorn.socket": Listener(8080)}]
    answers = [
        proxy.get("/metrics", environ_overrides=environ, headers={"Host": f"127.0.0.1:{METRICS_PORT}"})
        for environ in elsewhere
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert all(answer.json["error"]["code"] == "caller_route_not_found" for answer in answers)


def test_no_metrics_are_shown_where_no_metrics_port_is_set(fresh_database: Database, redis_url: str) -> None:
    app = app_of(fresh_database, redis_url, role="proxy")
    app.extensions["settings"] = fresh_database.settings(redis_url, metrics_port=0)

    answer = app.test_client().get("/metrics", environ_overrides={"gunicorn.socket": Listener(0)})
    close_app(app)

    assert answer.status_code == 404


def test_metrics_are_shown_while_every_server_is_away(nowhere: FlaskClient) -> None:
    answer = nowhere.get("/metrics", environ_overrides={"gunicorn.socket": Listener(METRICS_PORT)})

    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    up = dict(re.findall(r'gateway_reading_up\{reading="(\w+)"\} (\d)', text))
    away = dict.fromkeys(("redis", "alerts", "checks", "jobs", "database"), "0")
    assert up == {"line": "1", "node": "1"} | away


def test_bc_133_outsiders_learn_no_address_version_or_model(nowhere: FlaskClient) -> None:
    pages = [nowhere.get(path) for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/debug")]
    pages += [nowhere.get("/static/../config.py"), nowhere.get("/static/..%2fapp/config.py")]

    assert {200, 404, 503} >= {page.status_code for page in pages}
    told = "".join(page.get_data(as_text=True) for page in pages)
    assert not re.search(r"127\.0\.0\.1|postgres|redis|\d+\.\d+\.\d+|DATABASE_URL", told, re.IGNORECASE)
