"""A row in every tenant table, put there as the cluster's superuser: what a probe then tries to reach."""

from typing import Any
from uuid import UUID, uuid4

import psycopg

ENTRY = (
    "occurred_at, audit_id, actor_kind, actor_name, action, object_kind, object_id, object_name, outcome%s"
    " values (%%(w)s, now(), %%(x)s, 'system', 'system', 'key.create', 'key', '1', 'key', 'done'%s"
)
ROWS = {
    "application": "application_id, name) values (%(w)s, %(a)s, 'application'",
    "api_key": "key_id, application_id, name, prefix, last4, models, revision)"
    " values (%(w)s, %(k)s, %(a)s, 'key', 'gw_1', 'abcd', '{*}', 1",
    "provider": "provider_id, name, kind, base_url) values (%(w)s, %(p)s, 'provider', 'openai', 'http://127.0.0.1/v1'",
    "credential": "credential_id, provider_id, sealed, last4) values (%(w)s, %(x)s, %(p)s, 'sealed', 'abcd'",
    "model": "model_id, name) values (%(w)s, %(m)s, 'model'",
    "deployment": "deployment_id, model_id, provider_id, upstream_model) values (%(w)s, %(x)s, %(m)s, %(p)s, 'upstream'",
    "price": "price_id, subject_id, meter, unit_price, valid) values (%(w)s, %(x)s, %(m)s, 'input', 1, '(,)'",
    "membership": "user_id, granted_role) values (%(w)s, %(u)s, 'owner'",
    "invitation": "invitation_id, email, role, token_hash, created_by, expires_at)"
    " values (%(w)s, %(x)s, 'guest@example.test', 'viewer', 'hash', %(u)s, now()",
    "role_mapping": "mapping_id, provider_id, kind, value, role, created_by)"
    " values (%(w)s, %(x)s, %(i)s, 'group', 'group', 'viewer', %(u)s",
    "audit_outbox": ENTRY % (")", ""),
    "audit_event": ENTRY % (", seq)", ", 1"),
    "audit_counter": "last_seq) values (%(w)s, 1",
}
"""Columns after `workspace_id` and their values, in the order in which tables refer to each other."""


def fill(owner: psycopg.Connection[Any], workspace_id: UUID) -> None:
    """Give a workspace a row in each table that the ledger does not fill."""
    ids = {"w": workspace_id} | {name: uuid4() for name in "akpmxui"}
    account = "insert into user_account (user_id, email, name) values (%s, %s, 'Somebody')"
    owner.execute(account, [ids["u"], f"{ids['u']}@example.test"])
    directory = (
        "insert into identity_provider (provider_id, name, kind, authority, client_id)"
        " values (%s, %s, 'oidc', 'https://sign-in.example.test', 'client')"
    )
    owner.execute(directory, [ids["i"], str(ids["i"])])
    for table, rest in ROWS.items():
        owner.execute(f"insert into {table} (workspace_id, {rest})".encode(), ids)


def tenant_tables(owner: psycopg.Connection[Any]) -> list[str]:
    """Every table with a workspace but the index that finds it; partitions are reached through their parents only."""
    found = owner.execute(
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'workspace_id'"
        " where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition"
        " and c.relname <> 'key_index' order by 1"
    ).fetchall()
    return [row["relname"] for row in found]


def all_tables(owner: psycopg.Connection[Any]) -> list[str]:
    """Every table; partitions are reached through their parents."""
    found = owner.execute(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
        " and not relispartition order by 1"
    ).fetchall()
    return [row["relname"] for row in found]


def writable_columns(owner: psycopg.Connection[Any], table: str) -> list[str]:
    """A table's columns that may be given a value."""
    found = owner.execute(
        "select column_name from information_schema.columns where table_name = %s and is_identity = 'NO' and is_generated = 'NEVER'",
        [table],
    ).fetchall()
    return [row["column_name"] for row in found]
