"""The API keeps tenants apart too: whatever a key's client says of somebody else, it is its own workspace that counts."""

import re
from typing import Any

import pytest

from tests.factories import Key, make_key
from tests.gateway_process import Gateway
from tests.upstream import Upstream


@pytest.fixture
def keys(gateway: Gateway, upstream: Upstream) -> tuple[Key, Key]:
    """Two keys of two workspaces, each with a model that the other has not."""
    return make_key(gateway, upstream, model="of-the-first"), make_key(gateway, upstream, model="of-the-second")


def test_bc_098_a_key_lists_and_counts_its_own_workspace_alone(gateway: Gateway, keys: tuple[Key, Key]) -> None:
    theirs, mine = keys
    assert 200 == theirs.chat().status_code
    gateway.settled(1, theirs)
    foreign = {"key_id": theirs.key_id, "workspace_id": theirs.workspace_id, "application_id": theirs.application_id}
    query = {name: str(value) for name, value in foreign.items()}

    models = gateway.client.get("/v1/models", params=query, headers=mine.headers).json()
    usage = gateway.usage(mine, **query)

    assert [mine.model] == [model["id"] for model in models["data"]]
    assert (0, "0.000000") == (usage["requests"], usage["cost"])


def test_bc_099_another_tenants_model_is_like_one_that_does_not_exist(
    gateway: Gateway, upstream: Upstream, keys: tuple[Key, Key]
) -> None:
    theirs, mine = keys
    names = (theirs.model, "of-nobody")

    read = [gateway.client.get(f"/v1/models/{name}", headers=mine.headers) for name in names]
    called = [mine.with_model(name).chat() for name in names]

    for answers in (read, called):
        assert [404, 404] == [answer.status_code for answer in answers]
        assert 1 == len({_without(answer.text, *names) for answer in answers})
    assert upstream.requests == []


def test_bc_100_nothing_that_a_client_says_moves_the_bill(gateway: Gateway, keys: tuple[Key, Key]) -> None:
    theirs, mine = keys
    them, claims = str(theirs.workspace_id), {"tenant_id": str(theirs.workspace_id), "key_id": str(theirs.key_id)}
    headers = {"X-Tenant-Id": them, "X-Workspace-Id": them, "X-Key-Id": str(theirs.key_id)}

    answer = mine.chat(metadata=claims | {"user_api_key_team_id": them}, user="admin@example.test", headers=headers)

    assert 200 == answer.status_code
    (row,) = gateway.settled(1, mine)
    assert (mine.workspace_id, mine.key_id) == (row["workspace_id"], row["key_id"])
    assert [] == gateway.rows(theirs.key_id)
    assert 1 == gateway.usage(mine)["requests"]


def _without(text: str, *words: Any) -> str:
    return re.sub("|".join(map(re.escape, words)), "NAME", text)
