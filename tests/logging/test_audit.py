"""The audit trail's beginning: an entry is its change's, and holds no secret."""

import json
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from app.application import applications, keys
from app.extensions import transaction
from app.logging import audit, masking
from app.model import catalogue_seed, models, price_book
from app.model.catalogue_seed import SeedModel
from app.provider import providers
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import workspaces
from tests.factories import unique
from tests.logging.trail_books import Trail, note

SECRET = "Zq7Xw0Lk9Vb3Nn5Tt1"
NASTY = [
    {"api_key": SECRET},
    {"apiKey": SECRET},
    {"x-api-key": SECRET},
    {"API Key": SECRET},
    {"clientSecret": SECRET},
    {"provider": {"settings": [{"password": SECRET}]}},
    {"headers": [["Authorization", SECRET]]},
    {"headers": [("X-Api-Key", SECRET)]},
    {"headers": [{"name": "Authorization", "value": SECRET}]},
    {"headers": [{"key": "api_key", "value": SECRET}]},
    {"note": f"the new key is sk-{SECRET}"},
    {"note": f"gw_abcd1234_{SECRET}_a1B2c3"},
    {f"gw_abcd1234_{SECRET}_a1B2c3": "last used today"},
    {"body": json.dumps({"api_key": SECRET})},
    {"body": json.dumps(json.dumps({"api_key": SECRET}))},
    {"base_url": f"https://user:{SECRET}@api.example.test/v1"},
    {"base_url": f"https://api.example.test/v1?api_key={SECRET}"},
    {"note": f"curl -H 'Authorization: Bearer {SECRET}'"},
    {"token_hash": SECRET.encode()},
    {"password_hash": f"$argon2id$v=19$m=65536,t=3,p=4${SECRET}"},
    {"note": f"$argon2id$v=19$m=65536,t=3,p=4${SECRET}"},
    {"pem": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----"},
    {"pem": f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}"},
    {"secret": [SECRET, {"a": SECRET}]},
    {"cookies": {"session": SECRET}},
    {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": SECRET}}}}}}}}},
    {"note": "x" * 1_990 + f" sk-{SECRET}"},
    {"sealed": SECRET.encode()},
]


def test_an_entry_is_in_the_transaction_of_its_change(app: Flask, trail_books: Trail) -> None:
    with suppress(ZeroDivisionError), transaction(PLATFORM_ID):
        audit.record("key.create", kind="key", id="1", name="lost")
        raise ZeroDivisionError
    note(PLATFORM_ID, "kept")

    assert app
    assert ["kept"] == [entry["object_name"] for entry in trail_books.outbox()]


def test_an_entry_without_a_change_is_refused(app: Flask) -> None:
    assert app
    with pytest.raises(RuntimeError, match="belongs into the transaction"):
        audit.record("key.create", kind="key", id="1", name="nowhere")


def test_only_the_fields_that_differ_are_kept(app: Flask, trail_books: Trail) -> None:
    note(PLATFORM_ID, "one", before={"a": 1, "b": 2, "c": 3}, after={"a": 1, "b": 5, "d": 4})
    note(PLATFORM_ID, "nothing changed", before={"a": 1}, after={"a": 1})

    (entry,) = trail_books.outbox()
    assert app
    assert ({"b": 2, "c": 3}, {"b": 5, "d": 4}) == (entry["before"], entry["after"])


def test_who_acts_is_a_snapshot_and_ends_with_the_block(app: Flask, trail_books: Trail) -> None:
    about = {"ip": "192.0.2.7", "user_agent": "Browser/1", "request_id": "r-1"}
    jane = audit.Actor(kind="person", id="7", name="jane@example.test", role="admin", **about)
    with audit.acting(jane):
        note(PLATFORM_ID, "hers")
    note(PLATFORM_ID, "nobody's")

    hers, nobodys = trail_books.outbox()
    assert app
    columns = ("kind", "id", "name", "role")
    assert ["person", "7", "jane@example.test", "admin"] == [hers[f"actor_{column}"] for column in columns]
    assert about == {name: hers[name] for name in about}
    assert ("system", "system") == (nobodys["actor_kind"], nobodys["actor_name"])


def test_one_person_is_not_taken_for_another_that_acts_at_once(app: Flask, trail_books: Trail) -> None:
    meeting = threading.Barrier(2)

    def act(name: str) -> None:
        with app.app_context(), audit.acting(audit.Actor(kind="person", name=name)):
            meeting.wait(10)
            note(PLATFORM_ID, name)

    threads = [threading.Thread(target=act, args=[name]) for name in ("jane", "john")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert {("jane", "jane"), ("john", "john")} == {(e["actor_name"], e["object_name"]) for e in trail_books.outbox()}


def test_values_are_exact_and_in_words_of_json(app: Flask, trail_books: Trail) -> None:
    instant = datetime(2026, 5, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    own = new_id()

    note(PLATFORM_ID, "x", after={"price": Decimal("0.1"), "at": instant, "id": own, "models": ("a", "b"), "no": None})

    (entry,) = trail_books.outbox()
    assert app
    assert {
        "price": "0.100000",
        "at": instant.astimezone(UTC).isoformat(),
        "id": str(own),
        "models": ["a", "b"],
        "no": None,
    } == entry["after"]


def test_a_number_of_tokens_is_no_secret(app: Flask, trail_books: Trail) -> None:
    fields = {"limit_tokens_per_min": 5, "key_id": "k-1", "last4": "abcd", "secret_change": "replaced", "key": "Batch"}

    note(PLATFORM_ID, "x", after=fields | {"api_key": "changed"})

    assert app
    assert fields | {"api_key": "changed"} == trail_books.outbox()[0]["after"]


@pytest.mark.parametrize("fields", NASTY)
def test_bc_079_no_secret_is_kept_whatever_its_shape(app: Flask, trail_books: Trail, fields: dict[str, Any]) -> None:
    note(PLATFORM_ID, "x", after=fields)

    assert app
    stored = trail_books.sql("select audit_outbox::text as row from audit_outbox")
    assert SECRET not in stored[0]["row"]
    assert masking.HIDDEN in stored[0]["row"] or "…" in stored[0]["row"]


@pytest.mark.parametrize("member", ["name", "reason", "id"])
def test_bc_079_no_secret_is_kept_beside_the_fields(app: Flask, trail_books: Trail, member: str) -> None:
    given: dict[str, Any] = {"id": "1", "name": "x", "reason": None} | {member: f"gw_abcd1234_{SECRET}_a1B2c3"}
    with transaction(PLATFORM_ID), audit.acting(audit.Actor(kind="person", name="x", user_agent=f"Bearer {SECRET}")):
        audit.record("key.update", kind="key", **given)

    assert app
    stored = trail_books.sql("select audit_outbox::text as row from audit_outbox")
    assert SECRET not in stored[0]["row"]


@pytest.mark.parametrize("text", ["a\0b", "half \ud83d pair", "x" * 100_000, "\u202eright to left", "😀" * 3000])
def test_text_that_a_database_refuses_does_not_stop_a_change(app: Flask, trail_books: Trail, text: str) -> None:
    agent = audit.Actor(kind="person", name=text, user_agent=text, request_id=text)
    with audit.acting(agent):
        note(PLATFORM_ID, text, after={text: text, "list": [text, {"x": text}]}, reason=text)

    (entry,) = trail_books.outbox()
    assert app
    assert len(entry["object_name"]) <= audit.LONGEST_TEXT
    assert len(json.dumps(entry["after"], ensure_ascii=False)) < 10_000


def test_a_huge_list_is_cut(app: Flask, trail_books: Trail) -> None:
    note(PLATFORM_ID, "x", after={"models": [f"m{number}" for number in range(20_000)]})

    assert app
    assert masking.MOST == len(trail_books.outbox()[0]["after"]["models"])


def test_what_is_refused_has_a_transaction_of_its_own(app: Flask, trail_books: Trail) -> None:
    before = audit.written()

    audit.refused(PLATFORM_ID, "keys.make", kind="keys", id="1", name="x", reason="answered 403")

    (entry,) = trail_books.outbox()
    assert app
    assert ("refused", "answered 403") == (entry["outcome"], entry["reason"])
    assert before + 1 == audit.written()


def test_bc_137_every_step_of_a_key_and_its_surroundings_leaves_one_row_for_each_object(
    app: Flask, trail_books: Trail
) -> None:
    workspace_id = workspaces.create(unique("acme"), timezone="Europe/Berlin")
    application_id = applications.create(workspace_id, "app")
    key = keys.create(workspace_id, application_id, "key", models=["*"])
    keys.update(workspace_id, key.key_id, models=["m"], limits=keys.Limits(budget_usd=Decimal(5), budget_period="day"))
    new = keys.replace_secret(workspace_id, key.key_id)
    keys.revoke(workspace_id, key.key_id, now=utc_now())
    keys.release_secret(workspace_id, key.key_id)
    keys.reinstate(workspace_id, key.key_id)
    applications.edit(workspace_id, application_id, name="renamed", cost_centre="c", tags={"a": "b"})
    applications.update(workspace_id, application_id, cost_centre="42")
    applications.archive(workspace_id, application_id, now=utc_now())
    applications.revive(workspace_id, application_id)
    workspaces.set_timezone(workspace_id, "UTC")
    workspaces.archive(workspace_id, now=utc_now())
    workspaces.revive(workspace_id)

    rows = [entry for entry in trail_books.outbox() if entry["workspace_id"] == workspace_id]
    assert app
    assert [
        "workspace.create",
        "application.create",
        "key.create",
        "key.update",
        "key.replace_secret",
        "key.revoke",
        "key.release_secret",
        "key.reinstate",
        "application.update",
        "application.update",
        "application.archive",
        "application.revive",
        "workspace.update",
        "workspace.archive",
    ] == [row["action"] for row in rows][:14]
    by_action = {row["action"]: row for row in rows}
    assert {"state": "active", "revoked_at": None} == by_action["key.revoke"]["before"]
    assert "revoked" == by_action["key.revoke"]["after"]["state"]
    assert "5.000000" == by_action["key.update"]["after"]["budget_usd"]
    assert "Europe/Berlin" == by_action["workspace.update"]["before"]["timezone"]
    for secret in (key.secret, new.secret):
        assert secret.rsplit("_", 2)[1] not in repr(rows)


def test_bc_137_the_catalogue_and_its_prices_leave_rows_too(app: Flask, trail_books: Trail) -> None:
    account = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}
    provider_id = providers.save(PLATFORM_ID, "up", api_key=SECRET, **account)
    providers.save(PLATFORM_ID, "up", api_key=SECRET, **account)
    providers.save(PLATFORM_ID, "up", api_key=SECRET[::-1], **account)
    providers.save(PLATFORM_ID, "up", api_key="", **account)
    deployment = models.Deployment(provider_id=provider_id, upstream_model="m")
    model_id = models.save(PLATFORM_ID, "m", [deployment])
    models.save(PLATFORM_ID, "m", [deployment])
    price_book.set_prices(PLATFORM_ID, model_id, {"input": Decimal("1.5")}, now=utc_now())
    price_book.set_prices(PLATFORM_ID, model_id, {"input": Decimal(2)}, now=utc_now())
    seeds = [SeedModel(upstream_model=name, prices={}) for name in ("a", "b", "c")]
    catalogue_seed.plant(PLATFORM_ID, provider_id, "up", seeds)
    models.delete(PLATFORM_ID, model_id)

    rows = trail_books.outbox()
    assert app
    assert [
        ("provider.create", "up"),
        ("provider.update", "up"),
        ("provider.update", "up"),
        ("model.create", "m"),
        ("price.update", "m"),
        ("price.update", "m"),
        ("catalogue.import", "up"),
        ("model.delete", "m"),
    ] == [(row["action"], row["object_name"]) for row in rows]
    assert [{"secret_change": "replaced"}, {"secret_change": "dropped"}] == [row["after"] for row in rows[1:3]]
    assert ({"input": "1.500000"}, {"input": "2.000000"}) == (rows[5]["before"], rows[5]["after"])
    assert {"models": ["up/a", "up/b", "up/c"]} == rows[6]["after"]
    assert SECRET not in repr(rows)
    assert SECRET[::-1] not in repr(rows)


@pytest.mark.parametrize("kind", ["application", "key"])
def test_changes_at_once_each_know_what_was_before(app: Flask, trail_books: Trail, kind: str) -> None:
    workspace_id = workspaces.create(unique("acme"))
    application_id = applications.create(workspace_id, "0")
    key_id = keys.create(workspace_id, application_id, "0", models=[]).key_id

    def change(number: int) -> None:
        with app.app_context():
            for name in (f"{number}.{step}" for step in range(10)):
                if kind == "key":
                    keys.update(workspace_id, key_id, name=name)
                else:
                    applications.edit(workspace_id, application_id, name=name, cost_centre=None, tags={})

    threads = [threading.Thread(target=change, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    updates = [row for row in trail_books.outbox() if row["action"] == f"{kind}.update"]
    assert 30 == len(updates)
    assert ["0", *(row["after"]["name"] for row in updates[:-1])] == [row["before"]["name"] for row in updates]


def test_an_id_that_is_none_of_ours_is_text(app: Flask, trail_books: Trail) -> None:
    own: UUID = new_id()
    with transaction(PLATFORM_ID):
        audit.record("key.create", kind="key", id=own, name="a/b \"c\" 'd' <e>")

    (entry,) = trail_books.outbox()
    assert app
    assert (str(own), "a/b \"c\" 'd' <e>") == (entry["object_id"], entry["object_name"])
