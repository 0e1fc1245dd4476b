"""Budgets: their periods in any zone, what they may be, and what a change of one does at once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import text

from app.application import applications, keys
from app.extensions import transaction
from app.units import new_id, utc_now
from app.workspace import budget_rules, budgets, revisions, workspaces
from app.workspace.budget_rules import Rule
from app.workspace.names import Invalid, NotFound
from tests.factories import unique


@pytest.fixture
def acme(app: Flask) -> UUID:
    assert app.testing
    return workspaces.create(unique("acme"))


def make(
    workspace_id: UUID, limit: str = "10", *, scope: str = "workspace", period: str = "month", **rule: Any
) -> UUID:
    wanted = Rule(**{"name": unique("budget"), "limit_usd": Decimal(limit)} | rule)
    scope_id = None if scope == "workspace" else new_id()
    return budgets.create(
        workspace_id, wanted, scope=scope, scope_id=scope_id, period=period, budget_id=new_id(), by=None
    )


def has_acted(workspace_id: UUID, budget_id: UUID, spent: str) -> int:
    """Have a budget act, as the worker does; answers the revision of the keys."""
    with transaction(workspace_id) as session:
        values = {"id": budget_id, "spent": Decimal(spent), "revision": revisions.bump_keys()}
        session.execute(
            text(
                "update budget set acting_since = now(), acting_until = now() + interval '1 day', acting_spent = :spent,"
                " revision = :revision, checked_at = now() where budget_id = :id"
            ),
            values,
        )
    return int(values["revision"])


def row(workspace_id: UUID, budget_id: UUID) -> Any:
    with transaction(workspace_id) as session:
        return session.execute(text("select * from budget where budget_id = :id"), {"id": budget_id}).one()


@pytest.mark.parametrize(
    ("zone", "period", "at", "start", "end"),
    [
        ("UTC", "month", "2026-11-30T23:59:59", "2026-11-01T00:00", "2026-12-01T00:00"),
        ("UTC", "week", "2026-11-25T12:00", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("UTC", "week", "2026-11-30T00:00", "2026-11-30T00:00", "2026-12-07T00:00"),
        ("Asia/Kathmandu", "day", "2026-11-10T18:14:59", "2026-11-09T18:15", "2026-11-10T18:15"),
        ("Asia/Kolkata", "hour", "2026-11-10T12:29", "2026-11-10T11:30", "2026-11-10T12:30"),
        ("Pacific/Kiritimati", "month", "2026-10-31T10:00", "2026-10-31T10:00", "2026-11-30T10:00"),
        ("Etc/GMT+12", "day", "2026-11-10T11:59", "2026-11-09T12:00", "2026-11-10T12:00"),
        ("Europe/Berlin", "day", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("Europe/Berlin", "day", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("Europe/Berlin", "week", "2026-10-25T12:00", "2026-10-18T22:00", "2026-10-25T23:00"),
        ("Australia/Lord_Howe", "day", "2026-04-04T20:00", "2026-04-04T13:00", "2026-04-05T13:30"),
    ],
)
def test_periods_are_those_of_the_zone(zone: str, period: str, at: str, start: str, end: str) -> None:
    instant, *edges = (datetime.fromisoformat(one).replace(tzinfo=UTC) for one in (at, start, end))

    assert tuple(edges) == budget_rules.period_of(period, instant, ZoneInfo(zone))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia"])
@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_periods_follow_each_other_without_a_gap(zone: str, period: str) -> None:
    instant = datetime(2011, 12, 1, tzinfo=UTC)
    for _ in range(60):
        _, end = budget_rules.period_of(period, instant, ZoneInfo(zone))
        assert end
        assert end == budget_rules.period_of(period, end, ZoneInfo(zone))[0]
        assert end > instant
        instant = end


def test_all_time_has_no_end() -> None:
    assert budget_rules.period_of("total", utc_now(), ZoneInfo("UTC"))[1] is None


@pytest.mark.parametrize(
    ("spent", "limit", "reached"),
    [
        ("0", "0", []),
        ("0.000001", "0", [50, 80, 100]),
        ("4.999999", "10", []),
        ("5", "10", [50]),
        ("0.3", "0.3", [50, 80, 100]),
    ],
)
def test_a_threshold_is_reached_to_the_digit(spent: str, limit: str, reached: list[int]) -> None:
    assert reached == budget_rules.reached(Rule(name="b", limit_usd=Decimal(limit)), Decimal(spent))


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("name", {"name": "=1"}),
        ("limit", {"limit_usd": Decimal("-0.01")}),
        ("limit", {"limit_usd": Decimal("0.0000001")}),
        ("limit", {"limit_usd": Decimal(9_007_200)}),
        ("thresholds", {"thresholds": ()}),
        ("thresholds", {"thresholds": (80, 50)}),
        ("thresholds", {"thresholds": (0,)}),
        ("thresholds", {"thresholds": tuple(range(1, 12))}),
        ("action", {"action": "explode"}),
        ("downgrade_to", {"action": "downgrade"}),
        ("downgrade_to", {"downgrade_to": "m"}),
    ],
)
def test_what_cannot_be_is_refused(acme: UUID, field: str, rule: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        make(acme, **rule)

    assert field == refused.value.field
    assert [] == budgets.all_of(acme)


def test_two_budgets_cannot_share_a_name_until_one_is_archived(acme: UUID) -> None:
    first = make(acme, name="Team")
    with pytest.raises(Invalid, match="already"):
        make(acme, name="Team")

    budgets.archive(acme, first, now=utc_now())

    make(acme, name="Team")
    with pytest.raises(NotFound):
        budgets.get(acme, first)


def test_a_raised_limit_lets_calls_pass_at_once(acme: UUID) -> None:
    budget_id = make(acme, "10", name="b", action="block")
    acted = has_acted(acme, budget_id, "11")

    budgets.edit(acme, budget_id, Rule(name="b", limit_usd=Decimal(12), action="block"))

    found = row(acme, budget_id)
    assert (None, None, None) == (found.acting_since, found.checked_at, found.acting_spent)
    assert found.revision > acted


def test_a_change_that_raises_too_little_keeps_refusing(acme: UUID) -> None:
    budget_id = make(acme, "10", name="b", action="block")
    acted = has_acted(acme, budget_id, "11")

    budgets.edit(acme, budget_id, Rule(name="renamed", limit_usd=Decimal("10.5"), action="block"))

    found = row(acme, budget_id)
    assert found.acting_since
    assert found.revision > acted, "proxies learn of the new name"


@pytest.mark.parametrize("way", ["notify", "archive"])
def test_a_budget_that_ends_or_only_tells_lets_calls_pass(acme: UUID, way: str) -> None:
    budget_id = make(acme, "10", name="b", action="block")
    acted = has_acted(acme, budget_id, "11")

    if way == "archive":
        budgets.archive(acme, budget_id, now=utc_now())
    else:
        budgets.edit(acme, budget_id, Rule(name="b", limit_usd=Decimal(10)))

    found = row(acme, budget_id)
    assert found.acting_since is None
    assert found.revision > acted


def test_a_budget_acts_no_longer_than_its_period(acme: UUID) -> None:
    budget_id = make(acme, action="block")
    has_acted(acme, budget_id, "11")
    found = budgets.get(acme, budget_id)

    assert found.acts_at(utc_now())
    assert not found.acts_at(utc_now() + timedelta(days=1, seconds=1))


def test_keys_learn_of_the_budgets_that_act_on_them(acme: UUID) -> None:
    application_id = applications.create(acme, "one")
    key_id = keys.create(acme, application_id, "key", models=["*"]).key_id
    with transaction(acme) as session:
        (known,) = session.execute(text("select keys from revision")).one()
    makes = {"workspace": None, "application": application_id, "key": key_id, "model": new_id()}
    for scope, scope_id in makes.items():
        rule = Rule(name=scope, limit_usd=Decimal(1), action="block")
        budget_id = budgets.create(
            acme, rule, scope=scope, scope_id=scope_id, period="day", budget_id=new_id(), by=None
        )
        has_acted(acme, budget_id, "1")
    has_acted(acme, make(acme, scope="application", action="block"), "11")
    has_acted(acme, make(acme, scope="key", action="block"), "11")

    with transaction(acme) as session:
        (found,) = session.execute(text("select * from keys_since(:known)"), {"known": known}).mappings().all()

    assert key_id == found["key_id"]
    assert list(makes) == [one["scope"] for one in found["acting"]]
    assert [None, None, None, str(makes["model"])] == [one["model_id"] for one in found["acting"]]
