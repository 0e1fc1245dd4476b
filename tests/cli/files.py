"""Configuration files for tests, and what is there after applying one."""

import textwrap
from typing import Any

import psycopg

PLAIN = """\
providers:
  - {name: mock, kind: openai, base_url: "http://127.0.0.1:9900/v1", api_key: "${MOCK_KEY}"}
models:
  - name: gpt-4o-mini
    deployments: [{provider: mock, model: gpt-4o-mini, weight: 1, priority: 0}]
    price: {input: "0.15", cache_read: "0.075", output: "0.60"}
workspaces:
  - name: acme
    timezone: Europe/Berlin
    applications:
      - name: chatbot
        cost_centre: "4711"
        keys:
          - {name: ci, secret: "${ACME_KEY}", models: [gpt-4o-mini], state: active, limits: {requests_per_min: 600, tokens_per_min: 100000, parallel: 50}, budget: {usd: "10.00", period: month}, expires_at: 2027-01-01}
"""
"""The documented example."""

VARIABLES = {"MOCK_KEY": "sk-mock", "ACME_KEY": "acme-key-0123456789-abcdef"}


def changed(old: str, new: str, text: str = PLAIN) -> str:
    """The example with one text replaced, which has to be there."""
    assert old in text
    return text.replace(old, new)


def keys_file(*keys: str) -> str:
    """A file with one application and these keys, each on a line of its own from line 7."""
    head = "models: []\nproviders: []\nworkspaces:\n  - name: acme\n    applications:\n      - {name: app, keys: [\n"
    return head + ",\n".join(textwrap.indent(key, "          ") for key in keys) + "]}\n"


def content(url: str) -> dict[str, list[Any]]:
    """Every row of every table, seen as nobody but a test may see them."""
    found: dict[str, list[Any]] = {}
    with psycopg.connect(url) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        for (table,) in tables:
            connection.execute(f'alter table "{table}" no force row level security'.encode())
            rows = connection.execute(f'select t::text from "{table}" t order by 1'.encode()).fetchall()
            found[table] = [row[0] for row in rows]
        connection.rollback()
    return found
