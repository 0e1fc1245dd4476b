"""What holds for each page of the console and each piece of one, whichever it is."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import event
from werkzeug.routing import Rule

from app.extensions import db
from tests import people
from tests.billing.books import call, open_books
from tests.console import reading
from tests.tenancy.tenant import Tenant, address, console_rules, make

KINDS = {"page": {}, "piece": {"HX-Request": "true"}, "history": {"HX-Request": "true", "HX-Boosted": "true"}}
VILE = "');alert(1)//\"><img src=x onerror=alert(1)>{{7*7}}<script>1</script>"
NAMED = {
    "workspace": ["name"],
    "application": ["name", "cost_centre"],
    "api_key": ["name", "prefix", "last4"],
    "provider": ["name", "base_url"],
    "credential": ["last4"],
    "model": ["name"],
    "deployment": ["upstream_model"],
    "user_account": ["name"],
    "console_session": ["user_agent"],
    "usage_event": ["alias", "provider", "upstream_model"],
    "audit_outbox": ["actor_name", "object_name", "object_id", "user_agent", "reason"],
}
"""Texts that people, upstreams and clients give."""
MOST_STATEMENTS = 10


@pytest.fixture
def tenant(app: Flask, fresh_database: Any, redis_url: str) -> Iterator[Tenant]:
    """A workspace with one of everything and a call in its ledger."""
    assert app.testing
    tenant = make()
    books = open_books(fresh_database, redis_url)
    ids = {name: tenant.ids[name] for name in ("application_id", "key_id", "model_id")}
    books.put(call(tenant.workspace_id, **ids))
    books.take()
    yield tenant
    for client in (books.redis, books.owner, books.ingest):
        client.close()


@pytest.fixture
def owner(app: Flask, tenant: Tenant) -> people.Browser:
    return people.member(tenant.workspace_id, "owner", platform_role="admin").client(app)


def pages(app: Flask) -> list[Rule]:
    return [rule for method, rule in console_rules(app) if method == "GET"]


def test_bc_103_no_cache_keeps_what_was_made_for_one_person(app: Flask, tenant: Tenant, owner: people.Browser) -> None:
    """A shared cache may keep none of them, and tells apart what it forwards by the cookie."""
    visitor = people.Browser(app.test_client())
    careless = []

    for rule in pages(app):
        for kind, headers in KINDS.items():
            for who in (owner, visitor):
                answer = who.get(address(app, rule, tenant), headers=headers)
                answer.close()
                told = {word.strip() for word in answer.headers.get("Cache-Control", "").split(",")}
                if (
                    not told & {"private", "no-store"}
                    or "public" in told
                    or not {"Cookie", "HX-Request"} <= set(answer.vary)
                ):
                    careless.append((rule.rule, kind, answer.status_code))

    assert careless == []
    assert len(pages(app)) > 20


def test_bc_104_what_people_name_things_is_text_on_every_page(
    app: Flask, tenant: Tenant, owner: people.Browser, fresh_database: Any
) -> None:
    _rename_everything(fresh_database.owner_url)
    seen, executed = 0, []

    for rule in pages(app):
        for kind, headers in KINDS.items():
            answer = owner.get(address(app, rule, tenant), headers=headers)
            text = answer.get_data(as_text=True)
            assert answer.status_code < 500, (rule.rule, text[:2000])
            if answer.mimetype == "text/html":
                seen += VILE in reading.text(answer) or "{{7*7}}" in text
                executed += [(rule.rule, kind, fault) for fault in _faults(answer, text)]

    assert executed == []
    assert seen > 30


def test_bc_105_no_page_asks_the_database_more_than_ten_times(
    app: Flask, tenant: Tenant, owner: people.Browser
) -> None:
    asked: list[str] = []

    def note(*given: Any) -> None:
        asked.append(given[2])

    many = {}
    event.listen(db.engine, "before_cursor_execute", note)
    for rule in pages(app):
        asked.clear()
        owner.get(address(app, rule, tenant)).close()
        counted = [one for one in asked if not one.startswith(("SET ", "select set_config"))]
        if len(counted) > MOST_STATEMENTS:
            many[rule.rule] = len(counted)
    event.remove(db.engine, "before_cursor_execute", note)

    assert many == {}


def _rename_everything(owner_url: str) -> None:
    """Name all there is so that it would run, were it not text."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        for table, columns in NAMED.items():
            changes = ", ".join(f"{column} = %(vile)s || ctid" for column in columns)
            connection.execute(f"update {table} set {changes}".encode(), {"vile": VILE})


def _faults(answer: Any, text: str) -> list[str]:
    """What of a page a browser would run, though nobody who wrote a template meant it."""
    found = [given for given in reading.attributes(answer) if any(name.startswith("on") for name in given[1])]
    faults = [f"handler {given}" for given in found]
    faults += ["an image of somebody else" for tag, given in reading.attributes(answer) if given.get("src") == "x"]
    faults += ["a script" for tag, given in reading.attributes(answer) if tag == "script" and "nonce" not in given]
    faults += ["a template in a template"] if "{{7*7}}" not in text and "49<script" in text else []
    policy = answer.headers["Content-Security-Policy"]
    return faults + (["a policy that lets scripts in"] if "unsafe" in policy or "script-src" not in policy else [])
