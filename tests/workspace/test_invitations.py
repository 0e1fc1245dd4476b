from datetime import timedelta

import pytest
from sqlalchemy import text

from app.errors import NotAllowed
from app.extensions import transaction
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import invitations, workspaces
from app.workspace.invitations import MadeBefore
from app.workspace.members import By
from app.workspace.names import Invalid, NotFound
from tests import people
from tests.factories import unique

NOW = utc_now()


@pytest.fixture
def acme(app):
    assert app.testing
    return workspaces.create(unique("acme"))


@pytest.fixture
def owner(acme):
    return By(user_id=people.member(acme, "owner").user_id, role="owner")


def invite(workspace_id, who, email="jane@corp.test", role="viewer", **options):
    return invitations.create(workspace_id, email, role, by=who, now=NOW, **options)


def test_an_invitation_is_found_by_its_link_and_stored_as_a_hash(acme, owner):
    token = invite(acme, owner, "Jane@Corp.test", "developer")

    found = invitations.find(acme, token, now=NOW)

    assert ("jane@corp.test", "developer", NOW + timedelta(days=7)) == (found.email, found.role, found.expires_at)
    with transaction(acme) as session:
        assert token not in str(session.execute(text("select * from invitation")).mappings().all())
        assert token not in str(session.execute(text("select * from audit_outbox")).mappings().all())


@pytest.mark.parametrize("role", ["owner", "root", ""])
def test_an_admin_invites_no_owner_and_nobody_invites_to_what_is_no_role(acme, role):
    admin = By(user_id=people.member(acme, "admin").user_id, role="admin")

    with pytest.raises(NotAllowed if role == "owner" else Invalid):
        invite(acme, admin, role=role)
    invite(acme, admin, role="admin")

    assert ["admin"] == [one.role for one in invitations.open_of(acme)]


def test_inviting_again_replaces_the_link(acme, owner):
    old = invite(acme, owner, role="viewer")
    new = invite(acme, owner, "JANE@corp.test", "admin")

    with pytest.raises(NotFound):
        invitations.find(acme, old, now=NOW)
    assert "admin" == invitations.find(acme, new, now=NOW).role
    assert 1 == len(invitations.open_of(acme))


def test_an_admin_does_not_replace_or_revoke_the_invitation_of_an_owner(acme, owner):
    token, admin = invite(acme, owner, role="owner"), By(user_id=owner.user_id, role="admin")

    with pytest.raises(NotAllowed):
        invite(acme, admin, role="viewer")
    with pytest.raises(NotAllowed):
        invitations.revoke(acme, invitations.open_of(acme)[0].invitation_id, by=admin)

    assert "owner" == invitations.find(acme, token, now=NOW).role


def test_bc_112_the_same_form_twice_makes_one_invitation(acme, owner):
    own = new_id()
    token = invite(acme, owner, invitation_id=own)

    with pytest.raises(MadeBefore):
        invite(acme, owner, invitation_id=own)

    assert own == invitations.find(acme, token, now=NOW).invitation_id


def test_a_revoked_or_expired_link_opens_nothing(acme, owner):
    token = invite(acme, owner)

    with pytest.raises(NotFound):
        invitations.find(acme, token, now=NOW + timedelta(days=7))
    invitations.revoke(acme, invitations.open_of(acme)[0].invitation_id, by=owner)

    for use in (invitations.find, invitations.accept):
        with pytest.raises(NotFound):
            use(acme, token, now=NOW)


def test_another_workspaces_invitation_cannot_be_revoked(acme, owner):
    other = workspaces.create(unique("other"))
    token = invite(acme, owner)

    with pytest.raises(NotFound):
        invitations.revoke(other, invitations.open_of(acme)[0].invitation_id, by=owner)

    assert invitations.find(acme, token, now=NOW)


def test_nobody_is_invited_to_the_platform(owner):
    with pytest.raises(Invalid):
        invite(PLATFORM_ID, owner)


@pytest.mark.parametrize("email", ["", "jane", "jane@", "a b@c.test", "jané@corp.test"])
def test_what_is_no_address_is_not_invited(acme, owner, email):
    with pytest.raises(Invalid) as refused:
        invite(acme, owner, email)

    assert refused.value.field == "email"
