"""The database alone keeps tenants apart: each tenant table is tried as `gateway_app`, whatever our code would ask.

A tenant table is one with a workspace in its rows. Both tenants have a row in each of them, and the
test fails for a new table until it is given one.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.billing.books import Books, call
from tests.tenancy.rows import fill, tenant_tables, writable_columns

HERE = "(workspace_id = (NULLIF(current_setting('app.workspace_id'::text, true), ''::text))::uuid)"
DENIED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def tenants(books: Books) -> tuple[UUID, UUID]:
    """Two workspaces with a row in every tenant table."""
    both = books.workspace(), books.workspace()
    books.put(*(call(workspace_id) for workspace_id in both))
    books.take()
    for workspace_id in both:
        fill(books.owner, workspace_id)
    return both


@pytest.fixture
def app_role(fresh_database: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(fresh_database.app_url, autocommit=True) as connection:
        yield connection


def test_each_tenant_has_a_row_in_every_tenant_table(books: Books, tenants: tuple[UUID, UUID]) -> None:
    empty = [
        (table, str(tenant))
        for table in tenant_tables(books.owner)
        for tenant in tenants
        if not books.sql(f"select 1 as one from {table} where workspace_id = %s", tenant)
    ]

    assert empty == []
    print(f"tenant tables probed: {len(tenant_tables(books.owner))}")


@pytest.mark.parametrize("here", ["the other workspace", "none", "an empty text"])
def test_a_tenants_rows_cannot_be_read_from_elsewhere(books, tenants, app_role, here) -> None:
    theirs, mine = tenants
    if here != "none":
        _enter(app_role, mine if here == "the other workspace" else "")

    for table in tenant_tables(books.owner):
        assert (table, 0) == (table, _count(app_role, table, theirs)), here
        assert (table, here == "the other workspace") == (table, _count(app_role, table, mine) > 0)


def test_a_tenants_rows_cannot_be_changed_from_elsewhere(books, tenants, app_role) -> None:
    """Statements that read no column are not bound by what may be read, so both kinds are tried."""
    theirs, mine = tenants

    for table in tenant_tables(books.owner):
        for change in (f"update {table} set workspace_id = workspace_id", f"delete from {table}"):
            assert (table, 0) == (table, _changed(app_role, mine, f"{change} where workspace_id = '{theirs}'"))
        own = len(books.sql(f"select 1 as one from {table} where workspace_id = %s", mine))
        assert _changed(app_role, mine, f"update {table} set workspace_id = '{mine}'") in {0, own}, table
        assert _changed(app_role, mine, f"delete from {table}") in {0, own}, table


def test_a_row_cannot_be_put_into_another_tenants_hands(books, tenants, app_role) -> None:
    theirs, mine = tenants
    _enter(app_role, mine)

    for table in tenant_tables(books.owner):
        names = ", ".join(f'"{name}"' for name in writable_columns(books.owner, table))
        row = books.sql(f"select to_jsonb(t) as row from {table} t where workspace_id = %s limit 1", mine)[0]["row"]
        forged = Jsonb(row | {"workspace_id": str(theirs)})
        insert = f"insert into {table} ({names}) select {names} from jsonb_populate_record(null::{table}, %s)"
        update = f"update {table} set workspace_id = %s where workspace_id = '{mine}'"
        for change, value in ((insert, forged), (update, theirs)):
            with pytest.raises(DENIED):
                app_role.execute(change.encode(), [value])


def test_what_the_app_may_write_is_bound_to_its_workspace_alone(books: Books) -> None:
    rules = books.sql(
        "select distinct coalesce(with_check, qual) as rule, qual from pg_policies"
        " where 'gateway_app' = any(roles) and cmd <> 'SELECT'"
    )

    assert {HERE} == {row["rule"] for row in rules}
    assert {HERE, None} >= {row["qual"] for row in rules}


def _enter(connection: psycopg.Connection[Any], workspace_id: UUID | str) -> None:
    connection.execute("select set_config('app.workspace_id', %s, false)", [str(workspace_id)])


def _count(connection: psycopg.Connection[Any], table: str, workspace_id: UUID) -> int:
    """Count the rows that are seen of a workspace; none where the role may not read the table at all."""
    try:
        found = connection.execute(f"select count(*) from {table} where workspace_id = %s".encode(), [workspace_id])
    except DENIED:
        return 0
    return int((found.fetchone() or (0,))[0])


def _changed(connection: psycopg.Connection[Any], workspace_id: UUID, statement: str) -> int:
    """Count the rows that a statement changes, and undo it; none where the role may not do that at all."""
    try:
        with connection.transaction(force_rollback=True):
            _enter(connection, workspace_id)
            return connection.execute(statement.encode()).rowcount
    except (DENIED, psycopg.errors.ForeignKeyViolation):
        return 0
