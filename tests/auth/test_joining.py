import threading
from datetime import timedelta

import pytest

from app.auth import joining, users
from app.auth.sessions import Person
from app.errors import NotAllowed
from app.units import utc_now
from app.workspace import members, workspaces
from app.workspace.members import By
from app.workspace.names import Invalid, NotFound
from tests import people
from tests.factories import unique

NOW = utc_now()
PASSWORD = "correct horse battery"


@pytest.fixture
def owner(acme):
    return By(user_id=people.member(acme, "owner").user_id, role="owner")


def join(workspace_id, token, *, now=NOW, **fields):
    return joining.as_new_person(workspace_id, token, **{"name": "Jane", "password": PASSWORD} | fields, now=now)


def test_bc_093_an_invited_person_becomes_a_member_with_the_invited_role(acme, owner):
    token = joining.invite(acme, "Jane.Doe@Corp.test", "developer", by=owner, now=NOW)

    jane = join(acme, token)

    assert "jane.doe@corp.test" == jane.email
    assert "developer" == members.role_of(acme, jane.user_id)
    assert jane.user_id == users.id_of("JANE.DOE@corp.test")


def test_an_invitation_works_once(acme, owner):
    token = joining.invite(acme, "jane@corp.test", "viewer", by=owner, now=NOW)
    join(acme, token)

    with pytest.raises(NotFound):
        join(acme, token)


def test_an_invitation_works_for_seven_days(acme, owner):
    token = joining.invite(acme, "jane@corp.test", "viewer", by=owner, now=NOW)

    with pytest.raises(NotFound):
        join(acme, token, now=NOW + timedelta(days=7))
    assert not users.exists("jane@corp.test")
    assert join(acme, token, now=NOW + timedelta(days=7, seconds=-1))


@pytest.mark.parametrize(("field", "value"), [("name", ""), ("name", "=1+1"), ("password", "short"), ("password", "")])
def test_a_bad_field_makes_no_account_and_leaves_the_invitation(acme, owner, field, value):
    token = joining.invite(acme, "jane@corp.test", "viewer", by=owner, now=NOW)

    with pytest.raises(Invalid) as refused:
        join(acme, token, **{field: value})

    assert field == refused.value.field
    assert not users.exists("jane@corp.test")
    assert join(acme, token)


def test_who_has_an_account_joins_with_it_and_keeps_it(acme, owner):
    jane = people.person(name="Jane")
    token = joining.invite(acme, jane.email.upper(), "billing", by=owner, now=NOW)

    with pytest.raises(Invalid, match="account already"):
        join(acme, token)
    joining.as_person(acme, token, Person(user_id=jane.user_id, email=jane.email, name="Jane"), now=NOW)

    assert "billing" == members.role_of(acme, jane.user_id)


def test_an_invitation_is_for_its_address_and_stays_for_it(acme, owner):
    token = joining.invite(acme, "jane@corp.test", "owner", by=owner, now=NOW)
    john = people.person()

    with pytest.raises(NotAllowed):
        joining.as_person(acme, token, Person(user_id=john.user_id, email=john.email, name="John"), now=NOW)

    assert members.role_of(acme, john.user_id) is None
    assert join(acme, token)


def test_a_link_opens_its_own_workspace_only(acme, owner):
    token = joining.invite(acme, "jane@corp.test", "viewer", by=owner, now=NOW)

    for workspace_id, given in ((workspaces.create(unique("other")), token), (acme, token[:-1]), (acme, "")):
        with pytest.raises(NotFound):
            join(workspace_id, given)


def test_a_member_is_not_invited_again(acme, owner):
    jane = people.member(acme, "viewer")

    with pytest.raises(Invalid, match="member"):
        joining.invite(acme, jane.email, "admin", by=owner, now=NOW)


def test_of_two_that_use_a_link_at_once_one_gets_in(app, acme, owner):
    token = joining.invite(acme, "jane@corp.test", "viewer", by=owner, now=NOW)
    outcomes = []

    def attempt(name):
        with app.app_context():
            try:
                outcomes.append(join(acme, token, name=name).name)
            except (NotFound, Invalid) as error:
                outcomes.append(type(error))

    threads = [threading.Thread(target=attempt, args=(name,)) for name in ("Jane", "June")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert 1 == sum(isinstance(one, str) for one in outcomes), outcomes
    assert 2 == len(members.of(acme))
