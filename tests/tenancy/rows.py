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
    "price_adjustment": "adjustment_id, factor, valid) values (%(w)s, %(x)s, 0.9, '(,)'",
    "membership": "user_id, granted_role) values (%(w)s, %(u)s, 'owner'",
    "invitation": "invitation_id, email, role, token_hash, created_by, expires_at)"
    " values (%(w)s, %(x)s, 'guest@example.test', 'viewer', 'hash', %(u)s, now()",
    "role_mapping": "mapping_id, provider_id, kind, value, role, created_by)"
    " values (%(w)s, %(x)s, %(i)s, 'group', 'group', 'viewer', %(u)s",
    "budget": "budget_id, name, scope, period, limit_usd) values (%(w)s, %(b)s, 'budget', 'workspace', 'month', 1",
    "budget_alert": "budget_id, period_start, threshold, spent, limit_usd) values (%(w)s, %(b)s, now(), 50, 1, 1",
    "channel": "channel_id, name, kind, target) values (%(w)s, %(c)s, 'channel', 'email', 'guest@example.test'",
    "delivery": "delivery_id, channel_id, event, about, payload) values (%(w)s, %(x)s, %(c)s, 'test', '1', '{}'",
    "export_schedule": "schedule_id, name, what, every, next_at, created_by)"
    " values (%(w)s, %(x)s, 'schedule', '{}', 'day', now(), %(u)s",
    "export_job": "export_id, what, as_of) values (%(w)s, %(x)s, '{}', now()",
    "refusal_hour": "hour_start, key_id, code, calls) values (%(w)s, now(), %(k)s, 'policy_rate_limited', 1",
    "audit_outbox": ENTRY % (")", ""),
    "audit_event": ENTRY % (", seq)", ", 1"),
    "audit_counter": "last_seq) values (%(w)s, 1",
    "billing_period": "month, timezone, starts_at, ends_at) values (%(w)s, '2026-05-01', 'UTC', '2026-05-01Z', '2026-06-01Z'",
    "correction": "correction_id, closed_month, into_month, amount, reason)"
    " values (%(w)s, %(x)s, '2026-05-01', '2026-06-01', 1, 'late'",
    "rating_run": "run_id, kind, since, until, reason) values (%(w)s, %(x)s, 'dry_run', now(), now() + interval '1 day', 'new price'",
    "rating_delta": "run_id, month, is_closed, application_id, model_id, calls, before, after)"
    " values (%(w)s, %(x)s, '2026-05-01', false, %(a)s, %(m)s, 1, 1, 2",
    "credit": "credit_id, month, amount, reason) values (%(w)s, %(x)s, '2026-05-01', 1, 'kindness'",
    "statement": "statement_id, month, number, currency, total, issued_at)"
    " values (%(w)s, %(x)s, '2026-05-01', %(x)s, 'USD', 1, now()",
    "statement_line": "statement_id, line, kind, description, amount) values (%(w)s, %(x)s, 1, 'usage', 'calls', 1",
}
"""Columns after `workspace_id` and their values, in the order in which tables refer to each other."""


def fill(owner: psycopg.Connection[Any], workspace_id: UUID) -> None:
    """Give a workspace a row in each table that the ledger does not fill."""
    ids = {"w": workspace_id} | {name: uuid4() for name in "akpmxuibc"}
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
