"""What a key may do is what was written down for it, however its form and its list of models are read."""

from datetime import timedelta

import pytest

from app.application import applications, keys
from app.application.keys import Limits
from app.crypto import Vault
from app.units import new_id, utc_now
from tests import people
from tests.console import reading
from tests.console.remote import Remote
from tests.factories import PROVIDER_KEY, make_key, make_model, make_provider
from tests.gateway_process import eventually

NEAR_MISSES = ("gpt-4-32k", "GPT-4", "openai-x/y", "gptx5", "openai/a/b")
STORED = ("workspace_id", "key_id", "application_id", "kind", "state", "models", "managed_by", "last4", "prefix")


def facts(workspace_id, key_id):
    """Everything about a key but its name and how often it was changed."""
    key = keys.get(workspace_id, key_id)
    return {name: getattr(key, name) for name in (*STORED[1:], "limits", "expires_at", "revoked_at")}


def test_bc_097_members_that_a_form_does_not_have_change_nothing_of_a_key(app, acme):
    developer = people.member(acme, "developer").client(app)
    application_id, other = (applications.create(acme, name) for name in ("mine", "other"))
    limits = Limits(requests_per_min=7, tokens_per_min=5, parallel=2, budget_usd=1, budget_period="month")
    expires_at = utc_now() + timedelta(days=3)
    key = keys.create(acme, application_id, "ci", models=["a"], limits=limits, expires_at=expires_at)
    before, address = facts(acme, key.key_id), f"/w/{acme}/keys/{key.key_id}"
    widened = {"workspace_id": new_id(), "tenant": new_id(), "application": other, "application_id": other}
    widened |= {"kind": "management", "role": "owner", "state": "revoked", "managed_by": "file", "key_id": new_id()}
    widened |= {
        "budget_usd": "",
        "budget": "",
        "tokens_per_min": "",
        "parallel": "999",
        "routes": "*",
        "secret": "x" * 40,
    }

    answer = developer.post(address, reading.form(developer.get(address), address).values(name="renamed", **widened))

    assert 303 == answer.status_code
    assert ("renamed", before) == (keys.get(acme, key.key_id).name, facts(acme, key.key_id))
    assert {"renamed"} == {one.name for one in keys.all_of(acme)}


@pytest.mark.parametrize("role", ["viewer", "billing"])
def test_bc_097_who_may_not_manage_keys_widens_none(app, acme, role):
    somebody = people.member(acme, role).client(app)
    key = keys.create(acme, applications.create(acme, "mine"), "ci", models=["a"], limits=Limits(requests_per_min=7))
    before = keys.get(acme, key.key_id)

    answer = somebody.post(f"/w/{acme}/keys/{key.key_id}", {"name": "ci", "models": "*", "requests_per_min": ""})

    assert (403, before) == (answer.status_code, keys.get(acme, key.key_id))


def test_bc_089_a_name_on_a_keys_list_is_that_one_model(gateway, upstream):
    key = make_key(gateway, upstream, model="gpt-4", allowed=["gpt-4", "gpt.5", "openai/*"])
    with gateway.services():
        for name in NEAR_MISSES:
            make_model(key.workspace_id, key.provider_id, name)
        owner = Remote(gateway, people.member(key.workspace_id, "owner"))
    everything = owner.save(
        f"/w/{key.workspace_id}/keys/new",
        f"/w/{key.workspace_id}/keys",
        name="all",
        application=str(key.application_id),
        models="*",
    )
    secret = next(word for word in reading.text(everything.text).split() if word.startswith("gw_"))

    assert 200 == key.chat().status_code
    eventually(lambda: {"gpt-4", *NEAR_MISSES} == listed(gateway, secret))
    assert {"gpt-4"} == listed(gateway, key.secret)
    assert {404} == {key.with_model(name).chat().status_code for name in NEAR_MISSES}


def test_bc_086_a_secret_sealed_with_another_secret_key_is_named_and_never_sent(gateway, upstream):
    key = make_key(gateway, upstream)
    unreadable = sealed_elsewhere(key, upstream, "unreadable")
    with gateway.services():
        owner, root = Remote(gateway, people.member(key.workspace_id, "owner")), f"/w/{key.workspace_id}/providers"
    eventually(lambda: {key.model, "unreadable"} == listed(gateway, key.secret))

    refused = key.with_model("unreadable").chat()
    told = [reading.text(owner.post(f"{root}/{one}/test").text) for one in (unreadable, key.provider_id)]
    asked = len(upstream.requests)
    saved = owner.save(f"{root}/{unreadable}", api_key=PROVIDER_KEY)

    assert (503, "error" in refused.json()) == (refused.status_code, True)
    assert [True, False] == ["sealed with another SECRET_KEY" in words for words in told]
    assert (1, 303) == (asked, saved.status_code)
    eventually(lambda: key.with_model("unreadable").chat().status_code == 200)
    assert f"Bearer {PROVIDER_KEY}" == upstream.requests[-1].header("authorization")


def sealed_elsewhere(key, upstream, model):
    """Give the key's workspace a model whose account was saved while the installation had another `SECRET_KEY`."""
    with key.gateway.services() as app:
        mine, app.extensions["vault"] = app.extensions["vault"], Vault.of("another-secret-key-of-enough-length")
        try:
            provider_id = make_provider(key.workspace_id, upstream)
        finally:
            app.extensions["vault"] = mine
        make_model(key.workspace_id, provider_id, model)
        return provider_id


def listed(gateway, secret):
    answer = gateway.client.get("/v1/models", headers={"Authorization": f"Bearer {secret}"})
    return {one["id"] for one in answer.json()["data"]} if answer.status_code == 200 else None
