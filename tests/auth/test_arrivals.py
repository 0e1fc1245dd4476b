from dataclasses import replace

import pytest
from sqlalchemy import text

from app.auth import arrivals, identity_providers, mappings, users
from app.auth.arrivals import AddressTaken
from app.auth.deactivation import deactivate
from app.auth.directory_tables import ScimUserRow
from app.auth.id_tokens import Refused, Token
from app.auth.registrations import Registration
from app.extensions import transaction
from app.units import PLATFORM_ID, utc_now
from app.workspace import members, workspaces
from tests import directory, people
from tests.factories import unique

NOW = utc_now()
TENANT = directory.TENANT

pytestmark = pytest.mark.usefixtures("app")


def provider(**changes):
    about = Registration(name=unique("corp"), kind="entra", client_id="client", authority="", tenant=TENANT)
    return identity_providers.get(identity_providers.add(replace(about, **changes)))


def token(**changes):
    usual = {"tenant": TENANT, "subject": unique("oid"), "email": f"{unique('Jane')}@Corp.test", "name": "Jane Doe"}
    usual |= {"app_roles": frozenset(), "groups": frozenset(), "sid": None}
    return Token(**usual | changes)


def mapped(entra, value, role, workspace_id=None):
    place = workspace_id or workspaces.create(unique("home"))
    directory.mapping(place, entra.provider_id, value, role)
    return place


def entries(action):
    with transaction(PLATFORM_ID) as session:
        statement = text("select * from audit_outbox where action = :action")
        return session.execute(statement, {"action": action}).mappings().all()


def accounts():
    with transaction(PLATFORM_ID) as session:
        return session.execute(text("select count(*) from user_account")).scalar_one()


def test_a_new_person_gets_an_account_where_a_mapping_gives_a_role():
    entra = provider()
    home = mapped(entra, "Gateway.Developer", "developer")

    jane = arrivals.arrive(entra, token(app_roles=frozenset({"Gateway.Developer"}), email="J.Doe@Corp.test"), now=NOW)

    assert ("j.doe@corp.test", "Jane Doe") == (jane.email, jane.name)
    assert "developer" == members.role_of(home, jane.user_id)
    assert users.to_sign_in(jane.email).password_hash is None
    assert 1 == len(entries("identity.create"))


def test_without_a_role_by_mapping_nobody_new_gets_one():
    entra = provider()
    mapped(entra, "Gateway.Developer", "developer")
    before = accounts()

    with pytest.raises(Refused) as refused:
        arrivals.arrive(entra, token(app_roles=frozenset({"Another"})), now=NOW)

    assert "roles" == refused.value.claim
    assert before == accounts()


def test_a_role_in_a_group_counts_too():
    entra = provider()
    home = workspaces.create(unique("home"))
    directory.mapping(home, entra.provider_id, "builders", "developer", kind="group")

    jane = arrivals.arrive(entra, token(groups=frozenset({"builders"})), now=NOW)

    assert "developer" == members.role_of(home, jane.user_id)


def test_where_accounts_are_off_only_those_who_are_known_come():
    entra = provider(accounts="off")
    mapped(entra, "Gateway.Admin", "admin")
    token_of_jane = token(app_roles=frozenset({"Gateway.Admin"}))
    with pytest.raises(Refused) as refused:
        arrivals.arrive(entra, token_of_jane, now=NOW)
    jane = people.person()
    directory_says = replace(token_of_jane, email=jane.email)

    arrivals.link(entra, directory_says, users.of([jane.user_id])[jane.user_id], now=NOW)

    assert "oid" == refused.value.claim
    assert jane.user_id == arrivals.arrive(entra, directory_says, now=NOW).user_id


def test_everybody_gets_the_default_role_where_there_is_one():
    home = workspaces.create(unique("home"))
    entra = provider(accounts="default", default_workspace_id=home, default_role="viewer")

    jane = arrivals.arrive(entra, token(), now=NOW)

    assert "viewer" == members.role_of(home, jane.user_id)


def test_who_holds_an_invitation_to_his_address_gets_an_account():
    entra = provider(accounts="off")

    jane = arrivals.arrive(entra, token(email="jane@corp.test"), now=NOW, is_invited=True)

    assert "jane@corp.test" == jane.email


def test_bc_093_the_case_of_an_address_makes_no_second_account():
    entra = provider(accounts="off")
    first = token(email="Jane.Doe@Corp.test")
    jane = arrivals.arrive(entra, first, now=NOW, is_invited=True)
    before = accounts()

    again = arrivals.arrive(entra, replace(first, email="JANE.DOE@corp.test"), now=NOW)

    assert jane.user_id == again.user_id
    assert "jane.doe@corp.test" == again.email
    assert before == accounts()


def test_an_address_opens_nobodys_account():
    home = workspaces.create(unique("home"))
    entra = provider(accounts="default", default_workspace_id=home, default_role="viewer")
    boss = people.person(platform_role="admin")

    with pytest.raises(AddressTaken):
        arrivals.arrive(entra, token(email=boss.email.upper()), now=NOW)

    assert members.role_of(home, boss.user_id) is None


def test_two_people_of_two_tenants_with_one_id_are_two():
    entra = provider(accounts="off")
    jane = token()
    stranger = replace(jane, tenant="another-tenant", email="stranger@else.test")

    one = arrivals.arrive(entra, jane, now=NOW, is_invited=True)
    other = arrivals.arrive(entra, stranger, now=NOW, is_invited=True)

    assert one.user_id != other.user_id


@pytest.mark.parametrize("email", [None, "no address", "ünïcode@corp.test", "x" * 300 + "@corp.test"])
def test_no_usable_address_keeps_nobody_out(email):
    entra = provider(accounts="off")
    jane = token(email=email)

    found = arrivals.arrive(entra, jane, now=NOW, is_invited=True)

    assert found.email.endswith("@no-address.invalid")
    assert found.user_id == arrivals.arrive(entra, jane, now=NOW).user_id


@pytest.mark.parametrize(("name", "shown"), [("=HYPERLINK(1)", "HYPERLINK(1)"), (None, "jane@corp.test")])
def test_a_name_from_outside_is_one_that_may_be_stored(name, shown):
    found = arrivals.arrive(
        provider(accounts="off"), token(name=name, email="jane@corp.test"), now=NOW, is_invited=True
    )

    assert shown == found.name


def test_roles_follow_the_token_at_each_sign_in():
    entra = provider()
    home = mapped(entra, "Gateway.Admin", "admin")
    mapped(entra, "Gateway.Viewer", "viewer", home)
    jane = token(app_roles=frozenset({"Gateway.Admin", "Gateway.Viewer"}))
    person = arrivals.arrive(entra, jane, now=NOW)
    first = members.role_of(home, person.user_id)

    arrivals.arrive(entra, replace(jane, app_roles=frozenset({"Gateway.Viewer"})), now=NOW)
    second = members.role_of(home, person.user_id)
    arrivals.arrive(entra, replace(jane, app_roles=frozenset()), now=NOW)

    assert ("admin", "viewer", None) == (first, second, members.role_of(home, person.user_id))


def test_a_role_of_the_platform_comes_with_the_sign_in():
    entra = provider()
    directory.mapping(PLATFORM_ID, entra.provider_id, "Gateway.Operator", "auditor")

    assert "auditor" == arrivals.arrive(entra, token(app_roles=frozenset({"Gateway.Operator"})), now=NOW).platform_role


def test_bc_088_a_disabled_account_stays_out():
    entra = provider(accounts="off")
    jane = token()
    person = arrivals.arrive(entra, jane, now=NOW, is_invited=True)
    deactivate(person.user_id, now=NOW)

    with pytest.raises(Refused) as refused:
        arrivals.arrive(entra, jane, now=NOW, is_invited=True)

    assert "account" == refused.value.claim


def test_who_was_provisioned_is_known_by_his_id_at_the_same_provider():
    entra, other = provider(accounts="off"), provider(accounts="off")
    jane, there = token(), people.person()
    with transaction(PLATFORM_ID) as session:
        fields = {"provider_id": entra.provider_id, "user_id": there.user_id, "external_id": jane.subject}
        session.add(ScimUserRow(**fields, user_name=there.email))

    with pytest.raises(Refused):
        arrivals.arrive(other, jane, now=NOW)
    assert there.user_id == arrivals.arrive(entra, jane, now=NOW).user_id


def test_an_identity_belongs_to_one_person():
    entra = provider(accounts="off")
    jane, one, other = token(), people.person(), people.person()
    arrivals.link(entra, jane, users.of([one.user_id])[one.user_id], now=NOW)

    with pytest.raises(Refused):
        arrivals.link(entra, jane, users.of([other.user_id])[other.user_id], now=NOW)

    assert one.user_id == arrivals.arrive(entra, jane, now=NOW).user_id


def test_a_test_tells_what_would_happen_and_changes_nothing():
    entra = provider()
    home = mapped(entra, "Gateway.Admin", "admin")
    jane = token(app_roles=frozenset({"Gateway.Admin"}))
    before = accounts(), len(entries("identity.create"))

    good = arrivals.outlook(entra, jane, now=NOW)
    bad = arrivals.outlook(entra, token(), now=NOW)

    assert (True, None, {home: "admin"}) == (good.is_new, good.refused, good.roles)
    assert "Jane Doe" == good.person.name
    assert bad.person is None
    assert "no mapping" in bad.refused
    assert before == (accounts(), len(entries("identity.create")))
    assert {} == mappings.roles_of(good.person.user_id)
