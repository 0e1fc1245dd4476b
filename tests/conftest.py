"""What tests stand on: real servers of their own, fresh databases, the app in this process, the gateway as processes."""

import contextlib
import itertools
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask_migrate
import psycopg
import pytest
from flask import Flask, g, request_started
from jinja2 import FileSystemBytecodeCache
from sqlalchemy.engine import make_url

from app import create_app
from app.config import Settings
from deploy.local import embedded
from tests import local_model
from tests.gateway_process import ROOT, Gateway, close_app
from tests.oidc import program
from tests.upstream import Upstream

TEMPLATE = embedded.DATABASE
ROLES = ("gateway_app", "gateway_ingest")


MISSING = {"model": not local_model.EXISTS, "browser": shutil.which("chromium") is None, "oidc": not program.EXISTS}
"""What tests with these marks need, and whether it is missing here."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests whose real model, browser or identity provider is not here."""
    missing = [mark for mark in MISSING if MISSING[mark]]
    without = [item for item in items if any(item.get_closest_marker(mark) for mark in missing)]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]


def pytest_report_header() -> list[str]:
    return [f"not here, so the tests marked {mark} are deselected" for mark in MISSING if MISSING[mark]]


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """Refuse every socket that would leave the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test reached for {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@dataclass(frozen=True)
class Database:
    """A migrated database of its own, as each role reaches it."""

    owner_url: str
    app_url: str
    ingest_url: str

    @property
    def name(self) -> str:
        return str(make_url(self.owner_url).database)

    def settings(self, redis_url: str, **changes: Any) -> Settings:
        """Settings for the app on this database."""
        return Settings(
            **{
                "database_url": self.app_url,
                "database_owner_url": self.owner_url,
                "database_ingest_url": self.ingest_url,
                "redis_url": redis_url,
                "secret_key": "a-secret-for-tests-of-enough-length",
                "environment": "development",
            }
            | changes
        )


@dataclass
class Servers:
    """PostgreSQL with a migrated template, and Valkey; each xdist worker has its own."""

    postgres: embedded.Server
    valkey: embedded.Server
    passwords: dict[str, str]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def at(self, name: str) -> Database:
        """The addresses of one database."""
        owner = make_url(self.postgres.url).set(database=name)
        urls = [owner, *(owner.set(username=role, password=self.passwords[role]) for role in self.passwords)]
        return Database(*(url.render_as_string(hide_password=False) for url in urls))

    def create(self) -> Database:
        """Copy the template, about 30 ms."""
        name = f"test_{next(self._numbers)}"
        self.run(f'create database "{name}" template "{TEMPLATE}"')
        return self.at(name)

    def drop(self, database: Database) -> None:
        self.run(f'drop database "{database.name}" with (force)')

    def run(self, statement: str) -> None:
        """Run one statement on the cluster as its superuser."""
        with psycopg.connect(self.at("postgres").owner_url, autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextlib.contextmanager
    def away(self, database: Database) -> Iterator[None]:
        """Refuse every connection to a database and end those that are open."""
        self.run(f'alter database "{database.name}" with allow_connections false')
        self.run(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database.name}'")
        try:
            yield
        finally:
            self.run(f'alter database "{database.name}" with allow_connections true')


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    unsafe = (*embedded.FAST_AND_UNSAFE, "-c", "max_connections=200")
    with contextlib.ExitStack() as stack:
        valkey = embedded.start_valkey(folder / "valkey", embedded.free_port(), keep=False)
        stack.callback(valkey.stop)
        password = embedded.new_password()
        postgres = embedded.start_postgres(folder / "postgres", embedded.free_port(), password=password, extra=unsafe)
        stack.callback(postgres.stop)
        servers = Servers(postgres, valkey, {role: secrets.token_urlsafe(12) for role in ROLES})
        migrate(servers.at(TEMPLATE), valkey.url)
        yield servers


def migrate(database: Database, redis_url: str) -> None:
    """Bring a database to the newest schema."""
    app = create_app(database.settings(redis_url))
    with app.app_context():
        flask_migrate.upgrade(directory=str(ROOT / "migrations"))
    close_app(app)


@pytest.fixture
def fresh_database(servers: Servers) -> Iterator[Database]:
    database = servers.create()
    yield database
    servers.drop(database)


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """An empty Redis."""
    import redis

    with redis.Redis.from_url(servers.valkey.url) as client:
        client.flushall()
    return servers.valkey.url


@pytest.fixture(scope="session")
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """Templates compiled once for all the apps of a session; one that changes is compiled anew."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def app(fresh_database: Database, redis_url: str, compiled_templates: FileSystemBytecodeCache) -> Iterator[Flask]:
    """The app in this process on a fresh database and an empty Redis, its context pushed."""
    app = create_app(fresh_database.settings(redis_url))
    app.testing = True
    app.jinja_env.bytecode_cache = compiled_templates
    with app.app_context(), request_started.connected_to(_forget_the_request_before, app):
        yield app
    close_app(app)


def _forget_the_request_before(*_: object, **__: object) -> None:
    """A served request has a context of its own; those of a test share the pushed one."""
    g.__dict__.clear()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.stop()


StartGateway = Callable[..., Gateway]


@pytest.fixture
def start_gateway(servers: Servers, tmp_path: Path) -> Iterator[StartGateway]:
    """Start gateways that a test may break; they are stopped after it."""
    started: list[Gateway] = []

    def start(**options: Any) -> Gateway:
        started.append(Gateway(servers.create(), tmp_path / f"gateway-{len(started)}", **options))
        return started[-1]

    yield start
    for gateway in started:
        gateway.stop()
        servers.drop(gateway.database)


@pytest.fixture(scope="session")
def gateway(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway that most tests share: one web worker. Each test makes its own workspace."""
    gateway = Gateway(servers.create(), tmp_path_factory.mktemp("gateway"))
    yield gateway
    gateway.stop()


@pytest.fixture(scope="session")
def gateway2(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A shared gateway with two web workers, for what must hold over processes."""
    gateway = Gateway(servers.create(), tmp_path_factory.mktemp("gateway2"), workers=2)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_model.LocalModel]:
    """The real local model."""
    model = local_model.start(tmp_path_factory.mktemp("llama"))
    yield model
    model.stop()
