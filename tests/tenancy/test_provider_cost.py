"""What the platform pays providers is nobody's but its own: hidden by the database, and on no page, in no file, in no API."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.billing.export_what import AUDIT, CALLS, DAILY, FOCUS
from app.units import PLATFORM_ID, new_id
from tests import people
from tests.billing.books import NOON, Books, call
from tests.billing.exporting import Desk, what
from tests.tenancy.tenant import Tenant, address, console_rules, make

SECRET = Decimal("7.654321")
TRACE = re.compile(r"7\.65")
DAY = {"from": NOON.date().isoformat(), "to": NOON.date().isoformat()}


@pytest.fixture
def tenant(app: Flask, books: Books) -> Tenant:
    """A workspace with a call that has cost the platform something."""
    assert app.testing
    tenant = make()
    books.owner.execute(
        "insert into price (workspace_id, price_id, subject_id, meter, unit_price, kind, valid)"
        " values (%s, %s, %s, 'input', %s, 'provider_cost', '(,)')",
        [PLATFORM_ID, new_id(), tenant.ids["model_id"], SECRET],
    )
    ids = {name: tenant.ids[name] for name in ("application_id", "key_id", "model_id")}
    event = call(tenant.workspace_id, meters={"input": 1_000_000}, **ids)
    books.put(event)
    books.take()
    assert [SECRET] == [row["provider_cost"] for row in books.sql("select provider_cost from charge")]
    tenant.ids["call_id"] = event.event_id
    return tenant


@pytest.mark.parametrize("here", ["workspace", "platform", "nowhere"])
def test_the_database_shows_the_platforms_provider_cost_to_the_platform_alone(
    books: Books, fresh_database: Any, here: str
) -> None:
    workspace_id, subject_id = books.workspace(), new_id()
    for owner in (PLATFORM_ID, workspace_id):
        for kind in ("list", "provider_cost"):
            values = [owner, new_id(), subject_id, kind]
            books.owner.execute(
                "insert into price (workspace_id, price_id, subject_id, meter, unit_price, kind, valid)"
                " values (%s, %s, %s, 'input', 1, %s, '(,)')",
                values,
            )
    place = {"workspace": str(workspace_id), "platform": str(PLATFORM_ID), "nowhere": ""}[here]

    with psycopg.connect(fresh_database.app_url, autocommit=True) as app_role:
        app_role.execute("select set_config('app.workspace_id', %s, false)", [place])
        rows = app_role.execute("select workspace_id, kind from price where subject_id = %s", [subject_id]).fetchall()

    seen = {(owner == PLATFORM_ID, kind) for owner, kind in rows}
    own = {(False, "list"), (False, "provider_cost")} if here == "workspace" else set()
    theirs = {(True, "provider_cost")} if here == "platform" else set()
    assert {(True, "list")} | own | theirs == seen


def test_the_proxies_do_not_learn_it(tenant: Tenant, fresh_database: Any) -> None:
    with psycopg.connect(fresh_database.app_url, autocommit=True) as app_role:
        rows = app_role.execute("select prices::text from catalogue_since(-1)").fetchall()

    assert rows
    assert "provider_cost" not in str(rows)
    assert str(SECRET) not in str(rows)
    assert tenant


@pytest.mark.parametrize("role", ["owner", "billing"])
def test_no_page_of_a_workspace_shows_it(app: Flask, tenant: Tenant, role: str) -> None:
    mine = people.member(tenant.workspace_id, role).client(app)
    rules = [rule for method, rule in console_rules(app) if method == "GET" and "workspace_id" in rule.arguments]
    queries: list[dict[str, Any]] = [{}, DAY, {"request": tenant.ids["call_id"]}]

    told = [
        (rule.rule, query)
        for rule in rules
        for query in queries
        if TRACE.search(mine.get(address(app, rule, tenant), query_string=query).get_data(as_text=True))
    ]

    assert told == []


def test_the_platforms_admin_sees_it_beside_what_is_billed(app: Flask, tenant: Tenant) -> None:
    admin = people.person(platform_role="admin").client(app)
    root = f"/w/{tenant.workspace_id}/prices"

    why = admin.get(f"{root}/why", query_string={"request": tenant.ids["call_id"]}).get_data(as_text=True)
    terms = admin.get(f"{root}/adjustments").get_data(as_text=True)

    assert "7.654321 USD" in why
    assert "7.654321 USD" in terms
    assert "\u2212$6.65" in terms


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("kind", [CALLS, DAILY, FOCUS, AUDIT])
def test_no_file_of_a_workspace_holds_it(
    books: Books, tenant: Tenant, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_HOME", str(tmp_path))
    desk = Desk(books, tmp_path)

    export = desk.make(tenant.workspace_id, what(kind))

    text = desk.bytes(export).decode("utf-8-sig") + str(export.manifest)
    assert export.rows_done or kind == AUDIT
    assert not TRACE.search(text)
