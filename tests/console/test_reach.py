"""What is changed in the console reaches the proxies: real processes on both sides."""

import time

import pytest

from app.application import keys
from app.model import models
from tests import people
from tests.console import reading
from tests.console.remote import Remote
from tests.factories import PROVIDER_KEY, SPREAD_S, make_key, make_provider, unique
from tests.gateway_process import eventually
from tests.upstream import Upstream

ODD_NAMES = ("meta/llama-3.1:8b", "a/b/c?x=1#y", "100%2F", "quotes \"and' more", "🚀 مرحبا", "n" * 200)


@pytest.fixture
def second_upstream():
    upstream = Upstream()
    yield upstream
    upstream.stop()


def owner_of(key):
    """Sign somebody in who may change everything in the key's workspace."""
    with key.gateway.services():
        return Remote(key.gateway, people.member(key.workspace_id, "owner"))


def holds_everywhere(statuses, expected):
    """Wait until every answer is as expected for as long as a change may take to spread; give what it took."""
    began = since = time.monotonic()
    while time.monotonic() - since < SPREAD_S:
        assert time.monotonic() - began < 10, "the change does not spread"
        since = since if statuses() == expected else time.monotonic()
    return since - began


def test_bc_108_a_change_reaches_every_process(gateway2, upstream, second_upstream):
    key = make_key(gateway2, upstream)
    owner, address = owner_of(key), f"/w/{key.workspace_id}/models/{key.model_id}"
    with gateway2.services():
        other = make_provider(key.workspace_id, second_upstream)

    moved = owner.save(address, provider=[str(other), ""])
    moved_s = holds_everywhere(lambda: (key.chat(), upstream.requests.clear())[0].status_code, 200)
    upstream.requests.clear()
    before = len(second_upstream.requests)
    answers = [key.chat().status_code for _ in range(40)]
    disabled = owner.save(address, weight=["0", ""])
    off_s = holds_everywhere(lambda: key.chat().status_code, 404)
    refused = [key.chat().status_code for _ in range(40)]

    assert (303, 303) == (moved.status_code, disabled.status_code)
    assert [200] * 40 == answers
    assert (0, 40) == (len(upstream.requests), len(second_upstream.requests[before : before + 40]))
    assert [404] * 40 == refused
    assert max(moved_s, off_s) < 2


def test_bc_108_a_key_that_is_revoked_in_the_console_stops_within_a_second(gateway2, upstream):
    key = make_key(gateway2, upstream)
    owner = owner_of(key)

    began = time.monotonic()
    answer = owner.post(f"/w/{key.workspace_id}/keys/{key.key_id}/revoke")
    eventually(lambda: key.chat().status_code == 401, 5)
    took_s = time.monotonic() - began

    assert 303 == answer.status_code
    assert took_s < 1.5
    assert [401] * 10 == [key.chat().status_code for _ in range(10)]


def test_a_key_made_in_the_console_calls_and_a_rotated_one_overlaps(gateway, upstream):
    base = make_key(gateway, upstream)
    owner, root = owner_of(base), f"/w/{base.workspace_id}/keys"
    made = owner.save(f"{root}/new", root, name="from the console", application=str(base.application_id))
    secret = _secret_in(made)
    key_id = next(link for link in reading.links(made.text) if link.startswith(f"{root}/")).rsplit("/", 1)[1]

    rotated = owner.save(f"{root}/{key_id}/rotate", overlap="1")
    new_secret = _secret_in(rotated)

    for token in (new_secret, secret):
        eventually(lambda token=token: _status(gateway, token, base.model) == 200)
    owner.post(f"{root}/{key_id}/end-overlap")
    eventually(lambda: _status(gateway, secret, base.model) == 401)
    assert 200 == _status(gateway, new_secret, base.model)


def test_bc_039_zero_calls_per_minute_refuses_every_call(gateway, upstream):
    key = make_key(gateway, upstream)
    owner, address = owner_of(key), f"/w/{key.workspace_id}/keys/{key.key_id}"

    owner.save(address, requests_per_min="0")
    eventually(lambda: key.chat().status_code == 429)
    owner.save(address)
    still = owner.get(address)
    owner.save(address, requests_per_min="")

    assert "0" == reading.form(still.text, address).values()["requests_per_min"]
    eventually(lambda: key.chat().status_code == 200)


def test_bc_082_a_key_whose_only_model_is_removed_calls_nothing(gateway, upstream):
    key = make_key(gateway, upstream, allowed=["m"])
    owner = owner_of(key)
    with gateway.services():
        other = models.save(
            key.workspace_id, "other", [models.Deployment(provider_id=key.provider_id, upstream_model="u")]
        )

    owner.post(f"/w/{key.workspace_id}/models/{key.model_id}/delete")
    eventually(lambda: key.chat().status_code in {403, 404})

    assert other
    assert key.with_model("other").chat().status_code in {403, 404}
    address = f"/w/{key.workspace_id}/keys/{key.key_id}"
    owner.save(address)
    with gateway.services():
        assert ("m",) == keys.get(key.workspace_id, key.key_id).models


def test_bc_083_the_list_of_models_is_what_the_key_can_call(gateway, upstream):
    base = make_key(gateway, upstream, model="a")
    owner, ws = owner_of(base), base.workspace_id
    for name in ("b", "c"):
        row = {"provider": str(base.provider_id), "upstream_model": "u"}
        owner.save(f"/w/{ws}/models/new", f"/w/{ws}/models", name=name, **row)
    with gateway.services():
        off = models.by_name(ws, "c").model_id
    owner.save(f"/w/{ws}/models/{off}", weight=["0", ""])
    tokens = {}
    for allowed in (["a"], ["a", "c"], ["a", "b", "c"], "*"):
        form = {"application": str(base.application_id), "name": unique("key")}
        form |= {"models": "*"} if allowed == "*" else {"models": "some", "model": allowed}
        tokens[str(allowed)] = _secret_in(owner.save(f"/w/{ws}/keys/new", f"/w/{ws}/keys", **form))
    eventually(lambda: all(_listed(gateway, token) for token in tokens.values()))
    eventually(lambda: {"a", "b"} == _listed(gateway, tokens["*"]))

    for allowed, token in tokens.items():
        listed = _listed(gateway, token)
        called = {name: _status(gateway, token, name) for name in ("a", "b", "c")}
        assert listed == {name for name, status in called.items() if status == 200}, allowed
        assert {status for name, status in called.items() if name not in listed} <= {403, 404}


def test_bc_091_a_provider_saved_with_its_mask_still_sends_the_right_secret(gateway, upstream):
    key = make_key(gateway, upstream)
    owner, address = owner_of(key), f"/w/{key.workspace_id}/providers/{key.provider_id}"

    for typed in ("", "••••cdef"):
        owner.save(address, name=unique("renamed"), api_key=typed)
        time_until = key.chat()
        assert 200 == time_until.status_code

    eventually(lambda: key.chat().headers["x-gateway-provider"].startswith("renamed"))
    assert {f"Bearer {PROVIDER_KEY}"} == {request.header("authorization") for request in upstream.requests}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_bc_111_a_model_of_any_name_answers_calls(gateway, upstream, name):
    key = make_key(gateway, upstream)
    owner, ws = owner_of(key), key.workspace_id

    row = {"provider": str(key.provider_id), "upstream_model": "u"}
    owner.save(f"/w/{ws}/models/new", f"/w/{ws}/models", name=name, **row)
    eventually(lambda: key.with_model(name).chat().status_code == 200)
    with gateway.services():
        model_id = models.by_name(ws, name).model_id
    owner.post(f"/w/{ws}/models/{model_id}/delete")

    eventually(lambda: key.with_model(name).chat().status_code == 404)


def _secret_in(answer):
    assert answer.status_code == 200, reading.text(answer.text)
    return next(word for word in reading.text(answer.text).split() if word.startswith("gw_"))


def _status(gateway, token, model):
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": f"Bearer {token}"}
    return gateway.client.post("/v1/chat/completions", json=body, headers=headers).status_code


def _listed(gateway, token):
    answer = gateway.client.get("/v1/models", headers={"Authorization": f"Bearer {token}"})
    return {one["id"] for one in answer.json()["data"]} if answer.status_code == 200 else None
