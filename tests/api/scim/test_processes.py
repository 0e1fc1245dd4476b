"""The whole way: provisioning at one port of a running gateway, calls to models at the same. Case BC-088."""

from uuid import UUID

import httpx
import pytest

from app.application import applications, keys
from app.auth import scim_tokens
from tests import directory, people
from tests.api.scim.directory import PATCH, replace, user
from tests.factories import make_key, unique
from tests.gateway_process import eventually
from tests.upstream import Upstream


@pytest.fixture
def provisioning(gateway):
    with gateway.services():
        token = scim_tokens.create(directory.provider(), by=people.person().user_id)
    headers = {"Authorization": f"Bearer {token.secret}", "Content-Type": "application/scim+json"}
    with httpx.Client(base_url=f"{gateway.url}/scim/v2", headers=headers, trust_env=False, timeout=30) as client:
        yield client


def status_of(gateway, secret):
    return gateway.client.get("/v1/models", headers={"Authorization": f"Bearer {secret}"}).status_code


def set_active(provisioning, own, value):
    body = {"schemas": [PATCH], "Operations": [replace("active", value)]}
    assert provisioning.patch(f"/Users/{own}", json=body).status_code == 200


def test_bc_088_both_keys_of_a_leaver_are_401_and_only_the_one_not_revoked_comes_back(
    gateway, provisioning, upstream: Upstream
):
    key = make_key(gateway, upstream)
    jane = UUID(provisioning.post("/Users", json=user()).json()["id"])
    with gateway.services():
        application_id = applications.create(key.workspace_id, unique("application"))
        revoked = keys.create(key.workspace_id, application_id, unique("key"), models=["*"], owner_id=jane)
        keys.update(key.workspace_id, key.key_id, owner_id=jane)
        keys.revoke(key.workspace_id, revoked.key_id)
    both = (key.secret, revoked.secret)

    set_active(provisioning, jane, "False")
    eventually(lambda: [status_of(gateway, secret) for secret in both] == [401, 401], 2.0)

    set_active(provisioning, jane, "True")
    eventually(lambda: [status_of(gateway, secret) for secret in both] == [200, 401], 2.0)


def test_a_body_without_a_length_is_read_up_to_the_limit(provisioning):
    def chunks(count):
        return (b" " * 65_536 for _ in range(count))

    small = provisioning.post("/Users", content=chunks(2))
    large = provisioning.post("/Users", content=chunks(40))

    assert (400, 413) == (small.status_code, large.status_code)
    assert "1024 KiB" in large.json()["detail"]
