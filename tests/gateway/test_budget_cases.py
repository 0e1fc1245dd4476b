"""Budgets on the line: what a used-up one does to calls, in all processes, until it is raised or its period ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psutil
from sqlalchemy import text

from app.application import keys
from app.extensions import transaction
from app.units import new_id, utc_now
from app.workspace import budgets, revisions
from app.workspace.budget_rules import Rule
from tests.factories import Key, make_key, make_model, wait_until_known
from tests.gateway.answers import error_of
from tests.gateway_process import Gateway, eventually
from tests.upstream import Upstream

FREE = {"input": Decimal(0), "output": Decimal(0)}


def budget(key: Key, limit: str, *, scope: str = "workspace", scope_id: UUID | None = None, **rule: Any) -> UUID:
    wanted = Rule(**{"name": f"b-{new_id()}", "limit_usd": Decimal(limit), "action": "block"} | rule)
    with key.gateway.services():
        return budgets.create(
            key.workspace_id, wanted, scope=scope, scope_id=scope_id, period="day", budget_id=new_id(), by=None
        )


def acts(key: Key, budget_id: UUID) -> bool:
    """Whether the worker has seen that it is used up."""
    return bool(key.gateway.sql("select 1 from budget where budget_id = %s and acting_since is not null", budget_id))


def use_up(key: Key, budget_id: UUID) -> None:
    """Call until the worker has the budget act and every process knows it."""
    assert 200 == key.chat().status_code
    eventually(lambda: acts(key, budget_id), 20)
    eventually(lambda: key.chat().status_code == 429, 5)


def test_a_used_up_budget_refuses_calls_and_says_why(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    use_up(key, budget(key, "0.0002", name="Search team"))

    answers = [key.chat(), key.chat(stream=True)]

    for answer in answers:
        error = error_of(answer)
        assert (429, "policy_budget_exceeded") == (answer.status_code, answer.headers["x-gateway-error"])
        assert ("insufficient_quota", "insufficient_quota") == (error["type"], error["code"])
        assert "false" == answer.headers["x-should-retry"]
        assert 0 < int(answer.headers["retry-after"]) <= 86400
        assert "The budget 'Search team' of this workspace is used up: $0.00021 of $0.0002 spent." in error["message"]
        assert "It resets at " in error["message"]
    assert 200 == gateway.client.get("/v1/models", headers=key.headers).status_code


def test_bc_041_a_raised_budget_lets_calls_pass_in_every_process(gateway2: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway2, upstream)
    budget_id = budget(key, "0.0002")
    use_up(key, budget_id)

    with gateway2.services():
        rule = budgets.get(key.workspace_id, budget_id).rule
        budgets.edit(key.workspace_id, budget_id, Rule(name=rule.name, limit_usd=Decimal(1), action="block"))

    eventually(lambda: key.chat().status_code == 200, 2)
    wait_until_known(key)
    assert {200} == {key.chat().status_code for _ in range(10)}


def test_bc_042_it_ends_with_its_period_though_the_worker_rests(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    budget_id = budget(key, "0.0002")
    use_up(key, budget_id)

    with _resting_worker(gateway):
        _end_period(key, budget_id, utc_now() + timedelta(milliseconds=1500))
        eventually(lambda: key.chat().status_code == 200, 4)


def test_bc_039_a_budget_of_0_refuses_what_costs_and_bc_040_nothing_else(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    with gateway.services():
        make_model(key.workspace_id, key.provider_id, "free", price=FREE)
    budget_id = budget(key, "0")
    eventually(lambda: acts(key, budget_id), 20)
    eventually(lambda: key.chat().status_code == 429, 5)

    assert 200 == key.with_model("free").chat().status_code


def test_a_downgrade_sends_calls_to_the_cheaper_model_and_bills_that(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    with gateway.services():
        make_model(key.workspace_id, key.provider_id, "cheap", upstream_model="cheap-upstream")
    budget_id = budget(key, "0.0002", name="Team", action="downgrade", downgrade_to="cheap")
    assert "x-gateway-budget" not in key.chat().headers

    answer = eventually(lambda: (a := key.chat()).headers.get("x-gateway-budget") and a, 20)

    assert (200, "cheap", "Team") == (
        answer.status_code,
        answer.headers["x-gateway-model"],
        answer.headers["x-gateway-budget"],
    )
    assert "cheap-upstream" == upstream.requests[-1].json["model"]
    assert budget_id
    eventually(lambda: gateway.sql("select 1 from usage_event where key_id = %s and alias = 'cheap'", key.key_id), 10)


def test_a_key_that_may_not_use_the_cheaper_model_is_refused(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, allowed=["m"])
    with gateway.services():
        make_model(key.workspace_id, key.provider_id, "cheap")
    use_up(key, budget(key, "0.0002", action="downgrade", downgrade_to="cheap"))

    assert 429 == key.chat().status_code


def test_the_cheaper_model_must_be_on_the_keys_list_and_the_asked_for_one_too(
    gateway: Gateway, upstream: Upstream
) -> None:
    key = make_key(gateway, upstream, allowed=["m", "cheap"])
    with gateway.services():
        make_model(key.workspace_id, key.provider_id, "cheap")
        make_model(key.workspace_id, key.provider_id, "other")
    budget(key, "0", action="downgrade", downgrade_to="cheap")
    eventually(lambda: key.chat().headers["x-gateway-model"] == "cheap", 20)

    assert (404, 200) == (key.with_model("other").chat().status_code, key.with_model("cheap").chat().status_code)


def test_a_model_without_a_price_is_refused_too_once_the_budget_acts(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    with gateway.services():
        make_model(key.workspace_id, key.provider_id, "unpriced", price=None)
    eventually(lambda: key.with_model("unpriced").chat().status_code == 200, 5)

    use_up(key, budget(key, "0.0002"))

    assert 429 == key.with_model("unpriced").chat().status_code


def test_bc_043_a_new_secret_is_no_new_budget(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    use_up(key, budget(key, "0.0002", scope="key", scope_id=key.key_id))

    with gateway.services():
        secret = keys.replace_secret(key.workspace_id, key.key_id).secret
    again = replace(key, secret=secret)

    eventually(lambda: again.chat().status_code != 401, 5)
    assert 429 == again.chat().status_code


def test_a_deleted_budget_lets_calls_pass_within_a_second(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    budget_id = budget(key, "0.0002")
    use_up(key, budget_id)

    with gateway.services():
        budgets.archive(key.workspace_id, budget_id, now=utc_now())

    eventually(lambda: key.chat().status_code == 200, 1.5)


def test_only_the_scope_is_refused(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    with gateway.services():
        new = keys.create(key.workspace_id, key.application_id, "another", models=["*"])
        make_model(key.workspace_id, key.provider_id, "other")
    another = Key(
        gateway, new.secret, key.workspace_id, key.application_id, new.key_id, "m", key.model_id, key.provider_id
    )
    wait_until_known(another)

    use_up(key, budget(key, "0.0002", scope="key", scope_id=key.key_id))
    assert 200 == another.chat().status_code
    use_up(another, budget(key, "0.0002", scope="model", scope_id=key.model_id))
    assert 200 == another.with_model("other").chat().status_code


@contextmanager
def _resting_worker(gateway: Gateway) -> Iterator[None]:
    """The worker does nothing while the block runs."""
    worker = psutil.Process(gateway.worker.pid)
    worker.suspend()
    try:
        yield
    finally:
        worker.resume()


def _end_period(key: Key, budget_id: UUID, at: datetime) -> None:
    """Have the period end soon, as every process is told it."""
    statement = text("update budget set acting_until = :at, revision = :revision where budget_id = :id")
    with key.gateway.services(), transaction(key.workspace_id) as session:
        session.execute(statement, {"at": at, "id": budget_id, "revision": revisions.bump_keys()})
