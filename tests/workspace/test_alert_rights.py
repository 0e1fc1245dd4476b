"""What the database lets each role do with budgets, alerts, channels and deliveries: what it needs, and no more."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask

TABLES = ("budget", "budget_alert", "channel", "delivery")
WHOLE_TABLE = {
    "gateway_app": {
        "budget": {"INSERT", "SELECT", "UPDATE"},
        "budget_alert": {"SELECT"},
        "channel": {"DELETE", "INSERT", "SELECT", "UPDATE"},
        "delivery": {"INSERT", "SELECT"},
    },
    "gateway_ingest": {
        "budget": {"SELECT"},
        "budget_alert": {"INSERT", "SELECT"},
        "channel": {"SELECT"},
        "delivery": {"DELETE", "INSERT", "SELECT"},
    },
    "gateway_reader": {"budget": {"SELECT"}},
}
CHANGEABLE = {
    ("gateway_app", "delivery"): {"state", "attempts", "next_at", "sent_at"},
    ("gateway_ingest", "budget"): {"checked_at", "acting_since", "acting_until", "acting_spent", "revision"},
    ("gateway_ingest", "delivery"): {"state", "attempts", "next_at", "answer", "sent_at"},
}


@pytest.fixture
def owner(app: Flask, fresh_database: Any) -> Iterator[psycopg.Connection[Any]]:
    assert app.testing
    with psycopg.connect(fresh_database.owner_url, autocommit=True) as connection:
        yield connection


def test_each_role_may_do_what_it_does_and_no_more(owner: psycopg.Connection[Any]) -> None:
    statement = """
        select grantee, table_name, array_agg(privilege_type::text) from information_schema.role_table_grants
        where table_name = any(%s) and grantee <> 'gateway_owner' group by 1, 2"""
    found: dict[str, dict[str, set[str]]] = {}
    for role, table, rights in owner.execute(statement, [list(TABLES)]):
        found.setdefault(role, {})[table] = set(rights)

    assert WHOLE_TABLE == found


def test_where_only_some_columns_may_change_it_is_those(owner: psycopg.Connection[Any]) -> None:
    statement = """
        select grantee, table_name, array_agg(column_name::text) from information_schema.column_privileges c
        where table_name = any(%s) and privilege_type = 'UPDATE' and grantee <> 'gateway_owner'
          and not exists (select 1 from information_schema.role_table_grants t where t.grantee = c.grantee
                          and t.table_name = c.table_name and t.privilege_type = 'UPDATE')
        group by 1, 2"""
    found = {(role, table): set(columns) for role, table, columns in owner.execute(statement, [list(TABLES)])}

    assert CHANGEABLE == found


def test_no_role_gets_past_the_policies(owner: psycopg.Connection[Any]) -> None:
    statement = "select relname, relrowsecurity, relforcerowsecurity from pg_class where relname = any(%s)"

    assert {(table, True, True) for table in TABLES} == set(owner.execute(statement, [list(TABLES)]))
