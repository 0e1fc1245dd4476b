"""The schema: rows say what migrations made, and who may touch what. Read from the catalogue, not from our code."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import flask_migrate
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from sqlalchemy import create_engine, text

from app.billing.tables import ROLLUPS
from app.extensions import Base, db, sqlalchemy_url
from app.units import PLATFORM_ID
from tests.billing.books import Books, call, recent
from tests.gateway_process import ROOT

ROLES = ("gateway_app", "gateway_ingest", "gateway_reader")
GLOBAL = {
    "alembic_version",
    "user_account",
    "key_index",
    "revision",
    "ingest_cursor",
    "ingest_reject",
    "retention_mark",
} | {
    "console_session",
    "sign_in_attempt",
    "identity_provider",
    "sign_in_policy",
    "identity",
    "scim_token",
    "scim_user",
    "scim_group",
    "scim_group_member",
}
"""Tables of the platform. Every other one belongs to workspaces."""


@pytest.fixture
def catalogue(fresh_database: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(fresh_database.owner_url, autocommit=True) as connection:
        yield connection


def test_rows_and_migrations_agree(app: Flask, fresh_database: Any) -> None:
    engine = create_engine(sqlalchemy_url(fresh_database.owner_url))
    options = {"compare_type": True, "compare_server_default": True, "include_name": _is_ours}
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    engine.dispose()

    assert app
    assert [] == differences


def test_a_migration_can_be_undone_and_done_again(app: Flask, catalogue: psycopg.Connection[Any]) -> None:
    before = _everything(catalogue)

    flask_migrate.downgrade(directory=str(ROOT / "migrations"), revision="base")
    assert {"alembic_version"} == {name for name, _ in _tables(catalogue)}
    flask_migrate.upgrade(directory=str(ROOT / "migrations"))

    assert app
    assert before == _everything(catalogue)


def test_three_runners_at_once_apply_each_migration_once(servers: Any) -> None:
    servers.run('create database "empty"')
    database = servers.at("empty")
    variables = {
        "DATABASE_URL": database.app_url,
        "DATABASE_OWNER_URL": database.owner_url,
        "DATABASE_INGEST_URL": database.ingest_url,
        "REDIS_URL": servers.valkey.url,
        "SECRET_KEY": "a-secret-for-tests-of-enough-length",
    }
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
    options: dict[str, Any] = {"cwd": ROOT, "env": variables, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    runners = [subprocess.Popen(command, **options) for _ in range(3)]
    outputs = [runner.communicate(timeout=60)[0].decode() for runner in runners]

    assert [0, 0, 0] == [runner.returncode for runner in runners], outputs
    assert 1 == sum("Running upgrade  -> 0001" in output for output in outputs)
    servers.drop(database)


def test_no_role_of_ours_is_above_row_level_security(catalogue: psycopg.Connection[Any]) -> None:
    rows = catalogue.execute(
        "select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb from pg_roles where rolname = any(%s)",
        [list(ROLES)],
    ).fetchall()

    assert sorted((role, False, False, False, False) for role in ROLES) == sorted(rows)
    owners = catalogue.execute("select distinct tableowner from pg_tables where schemaname = 'public'").fetchall()
    assert not {owner for (owner,) in owners} & set(ROLES)


def test_every_tenant_table_forces_row_level_security(catalogue: psycopg.Connection[Any]) -> None:
    open_tables = {
        name for name, forced in _tables(catalogue) if not forced and name not in GLOBAL and not _is_partition(name)
    }

    assert set() == open_tables


def test_every_table_with_a_workspace_is_a_tenant_table(catalogue: psycopg.Connection[Any]) -> None:
    """`key_index` is the one that finds the workspace; it holds hashes and ids."""
    named = catalogue.execute(
        "select table_name from information_schema.columns where table_schema = 'public' and column_name = 'workspace_id'"
    ).fetchall()

    assert {"key_index"} == {name for (name,) in named} & GLOBAL


def test_partitions_are_reached_through_their_parent_only(catalogue: psycopg.Connection[Any]) -> None:
    grants = catalogue.execute(
        "select c.relname, a.grantee::regrole::text, a.privilege_type from pg_class c, aclexplode(c.relacl) a"
        " where c.relispartition and a.grantee <> c.relowner"
    ).fetchall()
    partitions = catalogue.execute("select count(*) from pg_class where relispartition and relkind = 'r'").fetchone()

    assert [] == grants
    assert partitions == (15,)


def test_a_partition_made_later_has_no_grants_either(books: Books) -> None:
    books.ingest.execute("select ensure_partitions('2031-01-01', 1)")

    for role in ("gateway_app", "gateway_ingest"):
        (row,) = books.sql("select has_table_privilege(%s, 'usage_event_203101', 'select') as may", role)
        assert not row["may"]


@pytest.mark.parametrize(
    "table", ["usage_event", "charge", "rollup_zone", "refusal_hour", *(rollup.name for rollup in ROLLUPS.values())]
)
@pytest.mark.parametrize("verb", ["insert", "update", "delete", "truncate"])
def test_the_app_cannot_write_the_ledger(catalogue: psycopg.Connection[Any], table: str, verb: str) -> None:
    row = catalogue.execute("select has_table_privilege('gateway_app', %s, %s)", [table, verb]).fetchone()

    assert (False,) == row


@pytest.mark.parametrize("verb", ["delete", "truncate"])
def test_nobody_but_the_owner_deletes_from_the_ledger(catalogue: psycopg.Connection[Any], verb: str) -> None:
    for table in ("usage_event", "charge"):
        for role in ROLES:
            row = catalogue.execute("select has_table_privilege(%s, %s, %s)", [role, table, verb]).fetchone()
            assert (False,) == row


def test_ingest_cannot_change_a_settled_call(books: Books) -> None:
    """The policy hides a new one; of an old one, whose details may go, the trigger refuses all else."""
    books.put(call(books.workspace(), at=recent()))
    books.take()
    assert 0 == books.ingest.execute("update usage_event set output = 1").rowcount

    books.put(call(books.workspace(), at=recent() - timedelta(days=2)))
    books.take()
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="a settled call stays as it is"):
        books.ingest.execute("update usage_event set output = 1")

    assert {100} == {row["output"] for row in books.rows()}


def test_without_a_workspace_every_tenant_table_is_empty(books: Books, fresh_database: Any) -> None:
    workspace_id = books.workspace()
    books.put(call(workspace_id))
    books.take()
    seen = {}

    with psycopg.connect(fresh_database.app_url, autocommit=True) as tenant:
        for name, _ in _tables(books.owner):
            if name not in GLOBAL and not _is_partition(name):
                seen[name] = tenant.execute(f"select count(*) from {name}".encode()).fetchone()

    platform = {"provider", "credential", "model", "deployment", "price"}
    assert {"usage_event", "charge", "rollup_zone", "workspace"} < seen.keys()
    assert {name: (0,) for name in seen if name not in platform} == {n: c for n, c in seen.items() if n not in platform}


def test_a_workspace_sees_its_own_rows_and_no_others(books: Books, app: Flask) -> None:
    mine, theirs = books.workspace(), books.workspace()
    books.put(call(mine), call(theirs), call(theirs))
    books.take()

    assert app
    for table in ("usage_event", "charge", "rollup_zone", *(rollup.name for rollup in ROLLUPS.values())):
        db.session.execute(text("select set_config('app.workspace_id', :id, true)"), {"id": str(mine)})
        found = db.session.execute(text(f"select distinct workspace_id from {table}")).scalars().all()
        db.session.rollback()
        assert [mine] == found


def test_functions_that_read_across_workspaces_reach_no_usage(catalogue: psycopg.Connection[Any]) -> None:
    for table in ("usage_event", "charge", "refusal_hour", *(rollup.name for rollup in ROLLUPS.values())):
        row = catalogue.execute("select has_table_privilege('gateway_reader', %s, 'select')", [table]).fetchone()
        assert (False,) == row


def test_the_platform_is_a_workspace(catalogue: psycopg.Connection[Any]) -> None:
    assert [(PLATFORM_ID, "platform")] == catalogue.execute("select workspace_id, name from workspace").fetchall()


def _is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    return not (kind == "table" and (name == "alembic_version" or _is_partition(name or "")))


def _is_partition(name: str) -> bool:
    return name.startswith(("usage_event_", "charge_", "audit_event_"))


def _tables(connection: psycopg.Connection[Any]) -> list[tuple[str, bool]]:
    """Name and whether row-level security is on and forced."""
    cursor = connection.cursor(row_factory=psycopg.rows.tuple_row)
    return cursor.execute(
        "select relname, relrowsecurity and relforcerowsecurity from pg_class"
        " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
    ).fetchall()


def _everything(connection: psycopg.Connection[Any]) -> list[list[Any]]:
    """Columns, constraints, policies, grants and functions."""
    queries = [
        """select table_name, column_name, data_type, column_default, is_nullable from information_schema.columns
           where table_schema = 'public'""",
        """select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
           where connamespace = 'public'::regnamespace""",
        "select tablename, policyname, roles::text, cmd, qual, with_check from pg_policies",
        "select relname, relacl::text from pg_class where relnamespace = 'public'::regnamespace",
        """select proname, proacl::text, prosrc from pg_proc where proname in
           ('catalogue_since', 'keys_since', 'platform_summary', 'ensure_partitions', 'workspaces_of')""",
    ]
    return [sorted(map(repr, connection.execute(query.encode()).fetchall())) for query in queries]
