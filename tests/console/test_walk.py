"""Every route of the console, walked by everybody, at home and elsewhere: the permission table says what must happen.

Nobody signed in is sent to the sign-in page; a workspace that one does not belong to is 404 whether it
exists or not; too low a role is 403; the rest is let in. Refused requests change nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from flask import Flask
from psycopg.rows import dict_row
from werkzeug.routing import Rule

from app.auth.permissions import PERMISSIONS, ROLES
from tests import people
from tests.tenancy.rows import all_tables
from tests.tenancy.tenant import Tenant, a_form, address, console_rules, make

TRACES = frozenset({"console_session", "sign_in_attempt"})
LET_IN = frozenset({200, 204, 302, 303, 400, 409, 422})
"""A form without its fields is 400 or 422: it was looked at."""
SIGN_IN, FORBIDDEN, NOT_FOUND, IN = "sign in", 403, 404, "in"


@dataclass
class Walk:
    """What was asked, what had to come and what came."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, expected: object, answer: Any, where: str) -> None:
        got = _outcome(answer)
        self.counts[str(expected)] += 1
        if expected != got:
            self.wrong.append(f"{where}: expected {expected}, got {got} ({answer.status})")


@dataclass(frozen=True)
class Visit:
    """One route, one method, one person, one place."""

    method: str
    rule: Rule
    who: str
    person: people.Person | None
    tenant: Tenant
    home: bool
    permission: str | None

    @property
    def expected(self) -> object:
        if self.permission is None:
            return IN
        if self.who == "nobody":
            return SIGN_IN
        roles = _roles(self.who, self.home)
        if "workspace_id" in self.rule.arguments and not roles & PERMISSIONS["workspace.read"]:
            return NOT_FOUND
        return IN if roles & PERMISSIONS[self.permission] else FORBIDDEN

    def __str__(self) -> str:
        return f"{self.who} {'at home' if self.home else 'elsewhere'} {self.method} {self.rule.rule}"


@pytest.fixture
def owner(fresh_database: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(fresh_database.owner_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def test_every_view_says_who_may_see_it(app: Flask) -> None:
    open_views = {
        rule.endpoint for _, rule in console_rules(app) if not hasattr(app.view_functions[rule.endpoint], "permission")
    }

    assert open_views == set()


def test_every_route_lets_in_whom_the_table_names_and_nobody_else(app: Flask, owner: Any) -> None:
    visits = list(_visits(app))
    refused = [visit for visit in visits if visit.expected != IN]
    let_in = [visit for visit in visits if visit.expected == IN]
    walk = Walk()

    before = _everything(owner)
    for visit in refused:
        walk.note(visit.expected, _pay(app, visit, visit.tenant), str(visit))
    assert before == _everything(owner), "a refused request has changed something"
    for visit in let_in:
        tenant = visit.tenant if visit.method == "GET" else make(visit.tenant.workspace_id)
        walk.note(IN, _pay(app, visit, tenant), str(visit))

    print(f"walked: {len(visits)} of {len(console_rules(app))} routes; " + str(dict(walk.counts)))
    assert walk.wrong == []
    assert {SIGN_IN, "403", "404", IN} <= walk.counts.keys()


ORDERS_OF_FILES = {f"exports.{name}" for name in ("create", "cancel", "again", "pause", "resume", "delete")}
"""What a billing person does send: orders of files. They change nothing that calls, keys or money depend on."""


def test_bc_095_no_change_is_open_to_those_who_only_look(app: Flask) -> None:
    """Whatever the views ask for: a viewer, a billing person and the auditor change nothing in a workspace.

    But for the orders of files, which are the billing person's work; the others may not order them, either.
    """
    home = make()
    lookers = {who: people.as_(who, home.workspace_id) for who in ("viewer", "billing", "platform auditor")}
    changes = [(method, rule) for method, rule in console_rules(app) if method != "GET" and _is_inside(rule)]

    answers = {
        (who, method, rule.endpoint): people.Browser(app.test_client(), looker).send(method, address(app, rule, home))
        for who, looker in lookers.items()
        for method, rule in changes
    }

    assert len(changes) > 20
    let_in = {place for place, answer in answers.items() if answer.status_code != 403}
    assert {("billing", "POST", name) for name in ORDERS_OF_FILES} == let_in


def test_a_change_without_the_forms_token_is_refused(app: Flask, owner: Any) -> None:
    tenant = make()
    owner_person = people.member(tenant.workspace_id, "owner", platform_role="admin")
    anothers = people.person().form_token
    changes = [(method, rule) for method, rule in console_rules(app) if method != "GET"]
    before = _everything(owner)

    answers = {}
    for method, rule in changes:
        browser = owner_person.client(app)
        for token in ("", anothers):
            answers[rule.rule, token] = browser.send(method, address(app, rule, tenant), {"csrf_token": token})

    assert changes
    assert [] == [(rule, answer.status) for (rule, _), answer in answers.items() if answer.status_code != 403]
    assert before == _everything(owner)


def _visits(app: Flask) -> Iterator[Visit]:
    """Everybody has a home; elsewhere is one workspace that none of them belongs to."""
    elsewhere = make()
    for who in people.EVERYBODY:
        home = make()
        person = people.as_(who, home.workspace_id)
        for method, rule in console_rules(app):
            permission = app.view_functions[rule.endpoint].permission
            for tenant in (home, elsewhere) if "workspace_id" in rule.arguments else (home,):
                yield Visit(method, rule, who, person, tenant, tenant is home, permission)


def _is_inside(rule: Rule) -> bool:
    return rule.rule.startswith("/w/")


def _pay(app: Flask, visit: Visit, tenant: Tenant) -> Any:
    somebody = visit.person and people.sign_in(visit.person.user_id, visit.person.email)
    browser = people.Browser(app.test_client(), somebody)
    return browser.send(visit.method, address(app, visit.rule, tenant), a_form())


def _roles(who: str, home: bool) -> set[str]:
    """What somebody is, in the words of the permission table."""
    if who == "platform admin":
        return {"person", "platform_admin", "owner"}
    if who == "platform auditor":
        return {"person", "platform_auditor"}
    return {"person", who} if who in ROLES and home else {"person"}


def _outcome(answer: Any) -> object:
    if answer.headers.get("Location", "").startswith("/sign-in"):
        return SIGN_IN
    return IN if answer.status_code in LET_IN else answer.status_code


def _everything(owner: psycopg.Connection[Any]) -> dict[str, str]:
    """A digest of every table but those in which refusals leave a trace: the audit trail, and who was seen when."""
    tables = [name for name in all_tables(owner) if not name.startswith("audit_") and name not in TRACES]
    found = {}
    for table in tables:
        rows = owner.execute(f"select t::text as row from {table} t order by 1".encode()).fetchall()
        found[table] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found
