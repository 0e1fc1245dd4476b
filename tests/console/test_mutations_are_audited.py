"""Every route that changes something leaves an audit entry: when it does so, and when it is refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from flask import Flask
from psycopg.rows import dict_row
from werkzeug.routing import Rule

from app.units import PLATFORM_ID
from app.workspace import workspaces
from tests import people
from tests.console.mutations import CHANGE_NOTHING, EXAMPLES, Example
from tests.factories import unique
from tests.tenancy import tenant as tenants
from tests.tenancy.tenant import Tenant

SAFE = {"GET", "HEAD", "OPTIONS"}
ELSEWHERE = ("app.gateway.", "app.api.scim.", "app.api.v1.")
"""Calls to models are the ledger's business; provisioning has no forms, and examples in tests/api/scim/test_door.py;
the management API only reads."""


@dataclass
class Scene:
    """One route under test, with a workspace of its own."""

    app: Flask
    owner: psycopg.Connection[Any]
    rule: Rule
    example: Example

    def send(self, who: people.Person | None, form: Any, tenant: Tenant) -> tuple[Any, list[Any]]:
        """Send a form; give the answer and the entries that this very request left."""
        fields = {name: value for name, value in form.items() if name != "ids"}
        place = Tenant(tenant.word, tenant.ids | form.get("ids", {}))
        path = tenants.address(self.app, self.rule, place)
        self.owner.execute("delete from audit_outbox")
        answer = people.Browser(self.app.test_client(), who).post(path, fields)
        entries = self.owner.execute('select * from audit_outbox order by "position"').fetchall()
        assert {answer.headers["X-Request-Id"]} >= {entry["request_id"] for entry in entries}
        return answer, entries

    @property
    def permission(self) -> str | None:
        permission: str | None = self.app.view_functions[self.rule.endpoint].permission
        return permission

    def in_a_workspace(self) -> bool:
        return "workspace_id" in self.rule.arguments and self.permission is not None


@pytest.fixture
def scene(app: Flask, fresh_database: Any, request: pytest.FixtureRequest) -> Iterator[Scene]:
    rules = {rule.endpoint: rule for rule in app.url_map.iter_rules() if (rule.methods or set()) - SAFE}
    with psycopg.connect(fresh_database.owner_url, autocommit=True, row_factory=dict_row) as owner:
        yield Scene(app, owner, rules[request.param], EXAMPLES[request.param])


def test_every_route_that_changes_something_has_an_example_and_no_other(app: Flask) -> None:
    changing = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if (rule.methods or set()) - SAFE and not _is_elsewhere(app, rule)
    }

    assert changing == set(EXAMPLES) | set(CHANGE_NOTHING)
    assert not set(EXAMPLES) & set(CHANGE_NOTHING)


@pytest.mark.parametrize("scene", sorted(EXAMPLES), indirect=True)
def test_bc_137_what_is_done_is_written_down(scene: Scene) -> None:
    tenant = tenants.make()
    who = _as(scene.example.who, tenant)

    answer, entries = scene.send(who, scene.example.form(tenant), tenant)

    assert answer.status_code in {200, 204, 303}, answer.get_data(as_text=True)
    done = [entry for entry in entries if entry["action"] == scene.example.action]
    assert done, [entry["action"] for entry in entries]
    assert {"done"} == {entry["outcome"] for entry in entries}
    assert all(entry["ip"] == "127.0.0.1" and entry["user_agent"] for entry in entries)
    if who:
        assert {("person", str(who.user_id))} == {(entry["actor_kind"], entry["actor_id"]) for entry in entries}


@pytest.mark.parametrize("scene", sorted(EXAMPLES), indirect=True)
def test_bc_137_a_form_that_is_wrong_is_written_down(scene: Scene) -> None:
    """One whose fields are wrong, where there are fields, and one without its token."""
    tenant = tenants.make()
    who = _as(scene.example.who, tenant)
    tries = [({"csrf_token": "stale"}, 403)]
    tries += [(dict(scene.example.wrong), 422)] if scene.example.wrong else []

    for form, status in tries:
        answer, entries = scene.send(who, form, tenant)

        assert status == answer.status_code
        assert ["refused"] == [entry["outcome"] for entry in entries]


@pytest.mark.parametrize("scene", sorted(EXAMPLES), indirect=True)
def test_bc_137_who_may_not_is_written_down(scene: Scene) -> None:
    """Nobody signed in, a role that is too low, a stranger; each where the route knows them."""
    tenant = tenants.make()
    home = workspaces.create(unique("home"))
    tries: list[tuple[people.Person | None, int]] = [] if scene.permission is None else [(None, 303)]
    if scene.in_a_workspace():
        tries += [(people.member(tenant.workspace_id, "viewer"), 403), (people.member(home, "owner"), 404)]

    for who, status in tries:
        answer, entries = scene.send(who, {}, tenant)

        assert status == answer.status_code
        (entry,) = entries
        assert "refused" == entry["outcome"]
        assert ("person" if who else "nobody") == entry["actor_kind"]
        assert (tenant.workspace_id if status == 403 else PLATFORM_ID) == entry["workspace_id"]


@pytest.mark.parametrize("scene", sorted(EXAMPLES), indirect=True)
def test_bc_099_reaching_for_what_is_anothers_is_written_down(scene: Scene) -> None:
    mine, theirs = tenants.make(), tenants.make()
    others = scene.rule.arguments - {"workspace_id", "token"}
    if not (scene.in_a_workspace() and others):
        return

    who = _as(scene.example.who, mine)
    answer, entries = scene.send(who, scene.example.form(theirs) | {"ids": {}}, mine.with_things_of(theirs))

    assert 404 == answer.status_code
    (entry,) = entries
    assert ("refused", mine.workspace_id) == (entry["outcome"], entry["workspace_id"])
    assert entry["object_id"] in {str(theirs.ids[name]) for name in others}


def _as(who: str, tenant: Tenant) -> people.Person | None:
    return people.as_(who, tenant.workspace_id)


def _is_elsewhere(app: Flask, rule: Rule) -> bool:
    return app.view_functions[rule.endpoint].__module__.startswith(ELSEWHERE)
