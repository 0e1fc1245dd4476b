from dataclasses import replace
from uuid import UUID

import pytest
import sqlalchemy as sql
from sqlalchemy import text

from app.auth import identity_providers, sessions
from app.auth.directory_tables import SignInPolicyRow
from app.auth.registrations import GRAPH, MICROSOFT, Registration
from app.extensions import transaction
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import workspaces
from app.workspace.names import Invalid, NotFound
from tests import people
from tests.factories import unique

TENANT, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
ENTRA = Registration(name="Corp", kind="entra", client_id="client", authority="", tenant=TENANT)
OIDC = Registration(name="Okta", kind="oidc", client_id="client", authority="https://corp.okta.test/")

pytestmark = pytest.mark.usefixtures("app")


def stored(provider_id):
    with transaction(PLATFORM_ID) as session:
        statement = text("select * from identity_provider where provider_id = :id")
        return session.execute(statement, {"id": provider_id}).mappings().one()


def problem(about):
    with pytest.raises(Invalid) as refused:
        identity_providers.add(about)
    return refused.value.field


def test_entra_is_found_at_microsofts_addresses_unless_others_are_given():
    made = identity_providers.get(identity_providers.add(ENTRA))

    assert (MICROSOFT, GRAPH) == (made.registration.authority, made.registration.graph_url)
    assert f"{MICROSOFT}/{TENANT}/v2.0" == made.discovery
    assert {TENANT} == made.tenants
    assert {f"{MICROSOFT}/{TENANT}/v2.0"} == made.issuers


def test_another_issuer_has_no_tenants():
    made = identity_providers.get(identity_providers.add(OIDC))

    assert "https://corp.okta.test" == made.discovery == made.authority
    assert made.tenants is None
    assert {"https://corp.okta.test"} == made.issuers


def test_several_tenants_come_only_by_a_list():
    several = replace(ENTRA, tenant="organizations", allowed_tenants=(TENANT.upper(), OTHER, TENANT))

    made = identity_providers.get(identity_providers.add(several))

    assert (TENANT, OTHER) == made.registration.allowed_tenants
    assert f"{MICROSOFT}/organizations/v2.0" == made.discovery
    assert "allowed_tenants" == problem(replace(several, allowed_tenants=()))


def test_of_one_tenant_nobody_elses_people_come():
    made = identity_providers.get(identity_providers.add(replace(ENTRA, allowed_tenants=(OTHER,))))

    assert {TENANT} == made.tenants


@pytest.mark.parametrize(
    ("field", "about"),
    [
        ("name", replace(ENTRA, name="")),
        ("name", replace(ENTRA, name="=1")),
        ("client_id", replace(ENTRA, client_id="")),
        ("kind", replace(ENTRA, kind="saml")),
        ("accounts", replace(ENTRA, accounts="always")),
        ("tenant", replace(ENTRA, tenant="common")),
        ("tenant", replace(ENTRA, tenant="corp.onmicrosoft.com")),
        ("tenant", replace(ENTRA, tenant=None)),
        ("allowed_tenants", replace(ENTRA, tenant="organizations", allowed_tenants=("corp",))),
        ("authority", replace(ENTRA, authority=f"{MICROSOFT}/{TENANT}")),
        ("authority", replace(OIDC, authority="http://corp.okta.test")),
        ("authority", replace(OIDC, authority="https://")),
        ("authority", replace(OIDC, authority="https://me:secret@corp.okta.test")),
        ("authority", replace(OIDC, authority="https://corp.okta.test/?a=b")),
        ("graph_url", replace(ENTRA, graph_url="http://graph.test")),
        ("default_role", replace(ENTRA, accounts="default", default_role="root", default_workspace_id=new_id())),
        ("default_workspace", replace(ENTRA, accounts="default", default_role="viewer")),
        (
            "default_workspace",
            replace(ENTRA, accounts="default", default_role="viewer", default_workspace_id=PLATFORM_ID),
        ),
        ("default_workspace", replace(ENTRA, accounts="default", default_role="viewer", default_workspace_id=new_id())),
        ("accounts", replace(ENTRA, accounts="mapped", default_role="viewer")),
    ],
)
def test_what_cannot_work_is_refused_by_its_field(field, about):
    assert field == problem(about)


def test_a_name_is_given_once():
    identity_providers.add(ENTRA)

    assert "name" == problem(ENTRA)


def test_the_same_form_sent_twice_makes_one():
    own = new_id()

    assert own == identity_providers.add(ENTRA, provider_id=own) == identity_providers.add(ENTRA, provider_id=own)


def test_everybody_may_have_a_role_in_one_workspace():
    home = workspaces.create(unique("home"))
    about = replace(ENTRA, accounts="default", default_role="viewer", default_workspace_id=home)

    made = identity_providers.get(identity_providers.add(about))

    assert (home, "viewer") == (made.registration.default_workspace_id, made.registration.default_role)


def test_a_secret_is_sealed_for_this_provider_alone():
    own = identity_providers.add(ENTRA, secret="s3cret-of-entra")
    other = identity_providers.add(OIDC)

    assert "s3cret-of-entra" == identity_providers.secret_of(own)
    assert b"s3cret" not in bytes(stored(own)["sealed_secret"])
    assert identity_providers.secret_of(other) is None
    assert (True, False) == (identity_providers.get(own).has_secret, identity_providers.get(other).has_secret)


def test_no_audit_entry_holds_the_secret():
    own = identity_providers.add(ENTRA, secret="s3cret-of-entra")
    identity_providers.edit(own, ENTRA, secret="another-s3cret")

    with transaction(PLATFORM_ID) as session:
        entries = session.execute(text("select * from audit_outbox")).mappings().all()
    assert ["identity_provider.create", "identity_provider.update"] == [entry["action"] for entry in entries]
    assert "s3cret" not in str(entries)


def test_a_change_keeps_the_secret_unless_another_is_given():
    own = identity_providers.add(ENTRA, secret="first")

    identity_providers.edit(own, replace(ENTRA, guests=True))
    kept = identity_providers.secret_of(own)
    identity_providers.edit(own, ENTRA, secret="")

    assert "first" == kept
    assert identity_providers.secret_of(own) is None


def test_the_kind_stays():
    own = identity_providers.add(ENTRA)

    with pytest.raises(Invalid):
        identity_providers.edit(own, OIDC)


@pytest.mark.parametrize(
    ("change", "secret", "still"),
    [
        (replace(ENTRA, name="Renamed", guests=True), None, True),
        (replace(ENTRA, tenant=OTHER), None, False),
        (replace(ENTRA, client_id="another"), None, False),
        (replace(ENTRA, authority="https://login.microsoftonline.us"), None, False),
        (ENTRA, "new", False),
    ],
)
def test_what_leads_elsewhere_has_to_be_tested_anew(change, secret, still):
    own = identity_providers.add(ENTRA)
    identity_providers.tested(own, people.person().user_id, now=utc_now())

    identity_providers.edit(own, change, secret=secret)

    assert still == (identity_providers.get(own).tested_at is not None)


def test_a_disabled_provider_lets_nobody_in_and_ends_what_began_there():
    own, other = identity_providers.add(ENTRA), identity_providers.add(OIDC)
    somebody, now = people.person(), utc_now()
    where = {"ip": "127.0.0.1", "user_agent": "tests", "now": now, "method": "sso"}
    here = sessions.start(somebody.user_id, provider_id=own, **where)
    there = sessions.start(somebody.user_id, provider_id=other, **where)

    identity_providers.disable(own, now=now)

    assert identity_providers.find(own) is None
    assert [other] == [one.provider_id for one in identity_providers.enabled()]
    assert (None, somebody.user_id) == (sessions.find(here, now=now), sessions.find(there, now=now).user_id)
    identity_providers.enable(own)
    assert identity_providers.find(own) is not None


def test_the_last_way_in_stays_while_single_sign_on_is_required():
    own, other = identity_providers.add(ENTRA), identity_providers.add(OIDC)
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.update(SignInPolicyRow).values(require_sso=True))

    identity_providers.disable(other, now=utc_now())
    with pytest.raises(Invalid):
        identity_providers.disable(own, now=utc_now())

    assert identity_providers.find(own) is not None


def test_what_is_not_there_is_not_found():
    nothing = UUID(int=1)

    assert identity_providers.find(nothing) is None
    with pytest.raises(NotFound):
        identity_providers.get(nothing)


def test_the_provider_ends_the_sessions_that_it_names():
    own, other = identity_providers.add(ENTRA), identity_providers.add(OIDC)
    somebody, now = people.person(), utc_now()
    where = {"ip": "127.0.0.1", "user_agent": "tests", "now": now, "method": "sso"}
    named = sessions.start(somebody.user_id, provider_id=own, sid="s1", **where)
    others = [
        sessions.start(somebody.user_id, provider_id=own, sid="s2", **where),
        sessions.start(somebody.user_id, provider_id=other, sid="s1", **where),
        somebody.cookie,
    ]

    sessions.end_by_sid(own, "s1")

    assert sessions.find(named, now=now) is None
    assert [somebody.user_id] * 3 == [sessions.find(cookie, now=now).user_id for cookie in others]
