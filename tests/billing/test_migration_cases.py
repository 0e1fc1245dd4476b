"""Migrations as operators meet them: a step that fails, several runners at once, indexes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import flask_migrate
import psycopg
import pytest
from flask import Flask

from tests.gateway_process import ROOT


@pytest.fixture
def empty_database(servers: Any) -> Iterator[Any]:
    database = servers.at("empty_for_migrations")
    servers.run(f'create database "{database.name}"')
    yield database
    servers.drop(database)


def upgrade(database: Any, redis_url: str, count: int = 1) -> list[tuple[int, str]]:
    """Bring the schema up to date as a start does, by so many processes at once; answers their exit codes and words."""
    variables = {
        "DATABASE_URL": database.app_url,
        "DATABASE_OWNER_URL": database.owner_url,
        "DATABASE_INGEST_URL": database.ingest_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a-secret-for-tests-of-enough-length",
    }
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
    options: dict[str, Any] = {"cwd": ROOT, "env": variables, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    runners = [subprocess.Popen(command, **options) for _ in range(count)]
    words = [runner.communicate(timeout=120)[0].decode() for runner in runners]
    return [(runner.returncode, said) for runner, said in zip(runners, words, strict=True)]


def ask(database: Any, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def test_bc_116_a_step_that_fails_leaves_the_old_schema_whole_and_says_why(empty_database: Any, redis_url: str) -> None:
    ask(empty_database, "create table retention_mark (in_the_way int)")

    ((code, said),) = upgrade(empty_database, redis_url)

    assert code != 0
    assert "retention_mark" in said
    tables = {name for (name,) in ask(empty_database, "select tablename from pg_tables where schemaname = 'public'")}
    assert {"retention_mark"} == tables
    ask(empty_database, "drop table retention_mark")
    assert [0] == [code for code, _ in upgrade(empty_database, redis_url)]


def test_bc_117_three_runners_at_once_apply_each_step_once(empty_database: Any, redis_url: str) -> None:
    runs = upgrade(empty_database, redis_url, 3)

    assert [0, 0, 0] == [code for code, _ in runs], runs
    steps = [said.count("Running upgrade") for _, said in runs]
    assert [0, 0, max(steps)] == sorted(steps)
    assert 1 == len(ask(empty_database, "select version_num from alembic_version"))


def test_bc_120_an_operators_own_index_outlives_upgrades(app: Flask, fresh_database: Any) -> None:
    ask(fresh_database, "create index operators_own on usage_event (provider, occurred_at)")
    folder = str(ROOT / "migrations")

    flask_migrate.upgrade(directory=folder)
    flask_migrate.downgrade(directory=folder)
    flask_migrate.upgrade(directory=folder)
    flask_migrate.upgrade(directory=folder)

    assert app
    found = ask(fresh_database, "select indisvalid from pg_index where indexrelid = 'operators_own'::regclass")
    assert [(True,)] == found
