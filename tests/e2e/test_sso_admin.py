"""A platform admin at a real browser: he adds an identity provider and tests it, before anybody else comes by it."""

from uuid import UUID

import pytest

from app.auth import identity_providers
from app.workspace import workspaces
from tests import directory, people
from tests.e2e.corp import Corp, OpenCorp, at_the_provider, failing_claim
from tests.factories import unique
from tests.oidc.program import CLIENT_ID, CLIENT_SECRET, TENANT

pytestmark = pytest.mark.oidc


def test_an_admin_adds_a_provider_and_tests_it(corp: Corp, open_corp: OpenCorp) -> None:
    with corp.gateway.services():
        admin = people.person(platform_role="admin")
        home = workspaces.create(unique("home"))
    login = corp.idp.knows(unique("jane"), roles=["Gateway.Admin"], groups=["g1", "g2"], sid="s1")
    name = unique("Corp")
    tab = open_corp(admin)
    tab.go("/platform/sign-in")
    tab.follow("Add identity provider")
    for label, value in {
        "Name": name,
        "Tenant optional": TENANT,
        "Host or issuer optional": corp.idp.url,
        "Client id": CLIENT_ID,
        "Client secret optional": CLIENT_SECRET,
    }.items():
        tab.fill(label, value)
    tab.press("Add identity provider")
    made = UUID(tab.path.rpartition("/")[2])

    tab.follow("Test sign-in")
    at_the_provider(tab, login)
    without_mapping = tab.read()
    with corp.gateway.services():
        directory.mapping(home, made, "Gateway.Admin", "admin")
    tab.go(f"/platform/sign-in/{made}/test")
    tab.settle()
    with_mapping = tab.read()

    assert "nobody would be let in" in without_mapping
    assert "A new account would be made for" in with_mapping
    assert "Gateway.Admin" in with_mapping
    assert [] == tab.breaches()
    row = corp.gateway.sql("select tested_by from identity_provider where provider_id = %s", made)
    assert [{"tested_by": admin.user_id}] == row
    assert [] == corp.gateway.sql("select 1 from user_account where email = %s", f"{login}@corp.test")
    assert ["refused", "done"] == sorted(
        (one["outcome"] for one in corp.audited("identity_provider.test") if one["object_name"] == name), reverse=True
    )


def test_a_wrong_secret_is_told_to_the_admin_who_tests(corp: Corp, open_corp: OpenCorp) -> None:
    with corp.gateway.services():
        admin = people.person(platform_role="admin")
        about = identity_providers.get(corp.registered())
        identity_providers.edit(about.provider_id, about.registration, secret="wrong")
    login = corp.idp.knows(unique("jane"), roles=["Gateway.Developer"])
    tab = open_corp(admin)

    tab.go(f"/platform/sign-in/{about.provider_id}/test")
    at_the_provider(tab, login, status=403)

    assert ("The test failed", "code") == (tab.heading(), failing_claim(tab))
    assert "invalid_client" in tab.read()
