from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from app.application import applications, keys
from app.application.limits import Limits
from app.extensions import vault
from app.units import utc_now
from app.workspace import revisions, workspaces
from app.workspace.names import Invalid, NotFound

pytestmark = pytest.mark.usefixtures("app")

GIVEN = "a-key-that-exists-elsewhere"


@pytest.fixture
def acme():
    return workspaces.create("acme")


@pytest.fixture
def chatbot(acme):
    return applications.create(acme, "chatbot")


def test_a_new_key_reaches_the_proxies_as_a_hash(acme, chatbot, key_rows):
    new = keys.create(acme, chatbot, "ci", models=["m"], limits=Limits(requests_per_min=7))

    (row,) = key_rows(0)
    assert (new.key_id, chatbot, True, ["m"], 7) == (
        row.key_id,
        row.application_id,
        row.active,
        row.models,
        row.limit_requests_per_min,
    )
    assert [vault().hash_key(new.secret.encode()).hex()] == [secret["hash"] for secret in row.secrets]


def test_the_database_holds_no_secret_anywhere(acme, chatbot, fresh_database):
    made = keys.create(acme, chatbot, "ci", models=["*"]).secret
    keys.create(acme, chatbot, "given", models=["*"], secret=GIVEN)

    everything = dump(fresh_database.owner_url)
    assert "chatbot" in everything
    assert made not in everything
    assert made.split("_")[2] not in everything
    assert GIVEN not in everything
    assert GIVEN.encode().hex() not in everything


def test_each_change_gives_the_key_the_next_revision(acme, chatbot, key_rows):
    new = keys.create(acme, chatbot, "ci", models=["a"])
    steps = [
        lambda: keys.update(acme, new.key_id, models=["b"]),
        lambda: keys.revoke(acme, new.key_id),
        lambda: keys.reinstate(acme, new.key_id),
        lambda: keys.replace_secret(acme, new.key_id),
        lambda: keys.refresh(acme),
    ]

    seen = [key_rows(0)[0].revision]
    for step in steps:
        step()
        seen.append(key_rows(0)[0].revision)

    assert list(range(seen[0], seen[0] + 6)) == seen
    assert seen[-1] == revisions.current()[1]


def test_an_update_changes_what_is_given_and_nothing_else(acme, chatbot):
    until = utc_now() + timedelta(days=1)
    new = keys.create(acme, chatbot, "ci", models=["a"], limits=Limits(parallel=3), expires_at=until)

    keys.update(acme, new.key_id, limits=Limits(tokens_per_min=0, budget_usd=Decimal("1.5"), budget_period="month"))

    (key,) = keys.all_of(acme)
    assert (("a",), until) == (key.models, key.expires_at)
    assert Limits(tokens_per_min=0, budget_usd=Decimal("1.5"), budget_period="month") == key.limits


def test_an_expiry_can_be_moved_and_taken_away(acme, chatbot):
    until = utc_now() + timedelta(days=1)
    new = keys.create(acme, chatbot, "ci", models=[], expires_at=until)

    seen = []
    for expires_at in (until + timedelta(days=1), None):
        keys.update(acme, new.key_id, expires_at=expires_at)
        seen.append(keys.all_of(acme)[0].expires_at)

    assert [until + timedelta(days=1), None] == seen


def test_a_revoked_key_keeps_its_row_and_can_be_reinstated(acme, chatbot, key_rows):
    new = keys.create(acme, chatbot, "ci", models=["*"])

    keys.revoke(acme, new.key_id)
    revoked = key_rows(0)[0].active
    keys.reinstate(acme, new.key_id)

    assert (revoked, key_rows(0)[0].active) == (False, True)


def test_a_replaced_secret_is_the_only_one(acme, chatbot):
    new = keys.create(acme, chatbot, "ci", models=["*"])

    keys.replace_secret(acme, new.key_id, GIVEN)

    assert keys.owner_of(new.secret) is None
    assert (acme, new.key_id) == keys.owner_of(GIVEN)
    assert "elsewhere"[-4:] == keys.all_of(acme)[0].last4


def test_two_keys_cannot_share_a_secret_over_all_workspaces(acme, chatbot):
    first = keys.create(acme, chatbot, "ci", models=["*"], secret=GIVEN)
    other = workspaces.create("other")
    theirs = applications.create(other, "theirs")

    with pytest.raises(keys.SecretTaken) as taken:
        keys.create(other, theirs, "ci", models=["*"], secret=GIVEN)

    assert (acme, first.key_id) == (taken.value.workspace_id, taken.value.key_id)
    assert keys.all_of(other) == []


def test_only_a_revoked_key_lets_its_secret_go(acme, chatbot):
    new = keys.create(acme, chatbot, "ci", models=["*"], secret=GIVEN)

    with pytest.raises(Invalid):
        keys.release_secret(acme, new.key_id)
    keys.revoke(acme, new.key_id)
    keys.release_secret(acme, new.key_id)

    assert not keys.has_secret(acme, new.key_id)
    assert keys.create(acme, chatbot, "next", models=["*"], secret=GIVEN)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "=x"},
        {"name": "taken"},
        {"models": ["*", "a"]},
        {"models": ["a", "a"]},
        {"models": [""]},
        {"secret": "short"},
        {"kind": "other"},
        {"limits": Limits(requests_per_min=-1)},
        {"limits": Limits(parallel=2**31)},
        {"limits": Limits(budget_usd=Decimal(1))},
        {"limits": Limits(budget_usd=Decimal(-1), budget_period="month")},
        {"limits": Limits(budget_usd=Decimal(9007200), budget_period="month")},
        {"limits": Limits(budget_usd=Decimal(1), budget_period="fortnight")},
    ],
)
def test_a_key_that_cannot_be_stored_is_refused_whole(acme, chatbot, change):
    keys.create(acme, chatbot, "taken", models=[])

    with pytest.raises(Invalid):
        keys.create(acme, chatbot, **({"name": "ci", "models": ["*"]} | change))

    assert [key.name for key in keys.all_of(acme)] == ["taken"]


def test_a_proxy_key_needs_an_application_and_a_management_key_does_not(acme):
    with pytest.raises(Invalid):
        keys.create(acme, None, "ci", models=["*"])
    keys.create(acme, None, "ops", models=[], kind="management")

    assert [(key.name, key.application_id) for key in keys.all_of(acme)] == [("ops", None)]


def test_a_key_of_one_workspace_is_not_there_for_another(acme, chatbot):
    new, other = keys.create(acme, chatbot, "ci", models=["*"]), workspaces.create("other")

    assert keys.all_of(other) == []
    assert keys.unenforced(other) == []
    for change in (keys.revoke, keys.reinstate, keys.replace_secret, keys.update, keys.release_secret):
        with pytest.raises(NotFound):
            change(other, new.key_id)


def test_limits_that_are_only_stored_are_named(acme, chatbot):
    budget = {"budget_usd": Decimal(0), "budget_period": "month"}
    keys.create(
        acme, chatbot, "all", models=[], limits=Limits(requests_per_min=1, tokens_per_min=0, parallel=1, **budget)
    )
    keys.create(acme, chatbot, "rate", models=[], limits=Limits(requests_per_min=1))
    gone = keys.create(acme, chatbot, "gone", models=[], limits=Limits(parallel=1))
    keys.revoke(acme, gone.key_id)

    (found,) = keys.unenforced(acme)

    assert (found.application, found.key, found.limits) == ("chatbot", "all", ("tokens_per_min", "parallel", "budget"))


def dump(url: str) -> str:
    """Read every table as its owner does who may see all rows, as one text."""
    found = []
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        for (table,) in tables:
            connection.execute(f'alter table "{table}" no force row level security'.encode())
            found += connection.execute(f'select t::text from "{table}" t'.encode()).fetchall()
    return "\n".join(row[0] for row in found)
