"""Who has left can do nothing any more, at once; who comes back finds what was not revoked. Case BC-088."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.application import applications, keys
from app.auth import deactivation, scim_users, sessions, users
from app.auth.callers import Callers
from app.auth.directory_tables import IdentityRow
from app.auth.tables import UserRow
from app.extensions import transaction, vault
from app.units import PLATFORM_ID, utc_now
from app.workspace import workspaces
from app.workspace.names import Invalid
from tests import directory, people
from tests.api.scim.directory import connect, replace, user
from tests.factories import unique


def key_of(user_id, *, workspace_id=None):
    """Make a key that belongs to somebody."""
    workspace_id = workspace_id or workspaces.create(unique("workspace"))
    application_id = applications.create(workspace_id, unique("application"))
    made = keys.create(workspace_id, application_id, unique("key"), models=["*"], owner_id=user_id)
    return workspace_id, made


def served(made, since=0):
    """Tell whether proxies that read the keys from a revision on serve a key now."""
    callers = Callers()
    statement = text("select * from keys_since(:since)")
    with transaction(PLATFORM_ID) as session:
        callers.update([dict(row) for row in session.execute(statement, {"since": since}).mappings()])
    return callers.find(vault().hash_key(made.secret.encode()), utc_now().timestamp()) is not None


def seen(user_id):
    """Whether a session of the person still works."""
    cookie = people.sign_in(user_id, "").cookie
    return lambda: sessions.find(cookie, now=utc_now()) is not None


def revision():
    with transaction(PLATFORM_ID) as session:
        return session.scalar(text("select keys from revision"))


@pytest.fixture
def jane(entra):
    return UUID(entra.user())


def test_bc_088_a_leavers_sessions_end_and_his_keys_stop(entra, jane):
    works = seen(jane)
    (home, kept), (other, revoked), (_, nobodys) = key_of(jane), key_of(jane), key_of(None)
    keys.revoke(other, revoked.key_id)
    before = revision()

    entra.patch(f"/Users/{jane}", replace("active", "False"))

    assert not works()
    assert [False, False, True] == [served(made) for made in (kept, revoked, nobodys)]
    assert before + 1 == revision()
    assert keys.get(home, kept.key_id).suspended_at
    assert users.to_sign_in(users.of([jane])[jane].email) is None


def test_bc_088_who_is_enabled_again_has_the_keys_that_were_not_revoked(entra, jane):
    works = seen(jane)
    (home, kept), (other, revoked) = key_of(jane), key_of(jane)
    keys.revoke(other, revoked.key_id)
    entra.patch(f"/Users/{jane}", replace("active", "False"))
    before = revision()

    entra.patch(f"/Users/{jane}", replace("active", "True"))

    assert [True, False] == [served(made) for made in (kept, revoked)]
    assert before + 1 == revision()
    assert keys.get(home, kept.key_id).suspended_at is None
    assert not works()


def test_bc_088_a_deleted_users_keys_stop_too(entra, jane):
    works, (_, made) = seen(jane), key_of(jane)

    entra.send("DELETE", f"/Users/{jane}")

    assert (False, False) == (works(), served(made))


def test_a_refused_deactivation_changes_nothing(entra, jane):
    """All of it is one transaction: the last platform admin keeps account, session and keys."""
    with transaction(PLATFORM_ID) as session:
        session.get(UserRow, jane).granted_platform_role = "admin"
        session.execute(text("update user_account set granted_platform_role = null where user_id <> :me"), {"me": jane})
    works, (_, made) = seen(jane), key_of(jane)

    answer = entra.patch(f"/Users/{jane}", replace("active", "False"), replace("displayName", "Nobody"))

    told = entra.get(f"/Users/{jane}").json
    assert (400, True, None) == (answer.status_code, told["active"], told.get("displayName"))
    assert "last platform admin" in answer.json["detail"]
    assert (True, True) == (works(), served(made))


def test_of_two_admins_the_second_cannot_be_disabled(app):
    assert app.testing
    one, other = people.person(platform_role="admin"), people.person(platform_role="admin")

    deactivation.deactivate(one.user_id)

    with pytest.raises(Invalid, match="last platform admin"):
        deactivation.deactivate(other.user_id)
    deactivation.reactivate(one.user_id)
    deactivation.deactivate(other.user_id)


def test_whom_a_platform_admin_has_disabled_provisioning_does_not_enable(entra, jane):
    _, made = key_of(jane)
    deactivation.deactivate(jane)

    for value in ("False", "True"):
        entra.patch(f"/Users/{jane}", replace("active", value), replace("title", value))

    assert not served(made)
    assert users.to_sign_in(users.of([jane])[jane].email) is None


def test_whom_a_platform_admin_has_enabled_provisioning_disables_again(entra, jane):
    entra.patch(f"/Users/{jane}", replace("active", "False"))
    deactivation.reactivate(jane)
    works = seen(jane)
    assert works()

    entra.patch(f"/Users/{jane}", replace("active", "False"))

    assert not works()


def test_a_person_of_two_providers_stays_out_until_both_have_him_again(app, entra):
    """The accounts were linked by the person, who has signed in at both."""
    other = connect(app)
    sent = user()
    jane = UUID(entra.make("Users", sent))
    identity = str(uuid4())
    identify(other.provider_id, identity, jane)
    assert str(jane) == other.make("Users", sent | {"externalId": identity})
    works, (_, made) = seen(jane), key_of(jane)

    for each in (entra, other):
        each.patch(f"/Users/{jane}", replace("active", "False"))
    entra.patch(f"/Users/{jane}", replace("active", "True"))
    assert (False, False) == (works(), served(made))

    other.patch(f"/Users/{jane}", replace("active", "True"))
    assert served(made)


def identify(provider_id, subject, user_id):
    """Link an account to an identity, as a sign-in does."""
    with transaction(PLATFORM_ID) as session:
        session.add(IdentityRow(tenant=directory.TENANT, subject=subject, provider_id=provider_id, user_id=user_id))


def test_a_suspended_key_that_gets_another_owner_works_again(entra, jane):
    home, made = key_of(jane)
    entra.patch(f"/Users/{jane}", replace("active", "False"))

    keys.update(home, made.key_id, owner_id=people.member(home, "developer").user_id)

    assert served(made)


def test_a_change_of_a_suspended_key_leaves_it_suspended(entra, jane):
    home, made = key_of(jane)
    entra.patch(f"/Users/{jane}", replace("active", "False"))

    keys.update(home, made.key_id, name="renamed", owner_id=jane)
    keys.refresh(home)

    assert not served(made)


def test_a_person_who_signed_in_before_provisioning_began_keeps_his_account(entra):
    """By the id that the directory gave him, never by his address."""
    mine, theirs = people.person(name="Jane"), people.person(name="Joy")
    object_id = str(uuid4())
    identify(entra.provider_id, object_id, mine.user_id)

    taken = entra.send("POST", "/Users", user(emails=[{"type": "work", "value": theirs.email}]))
    own = entra.user(externalId=object_id, emails=[{"type": "work", "value": mine.email}])

    assert (409, "uniqueness") == (taken.status_code, taken.json["scimType"])
    assert str(mine.user_id) == own
    assert str(theirs.user_id) not in [found["id"] for found in entra.get("/Users").json["Resources"]]


def test_somebody_deleted_who_comes_back_has_his_account_and_his_keys_and_no_groups(entra):
    object_id = str(uuid4())
    sent = user(externalId=object_id)
    own = entra.make("Users", sent)
    identify(entra.provider_id, object_id, UUID(own))
    _, made = key_of(UUID(own))
    group = entra.group(own)
    entra.send("DELETE", f"/Users/{own}")

    again = entra.make("Users", sent)

    assert (own, True) == (again, served(made))
    assert [] == entra.get(f"/Groups/{group}").json["members"]


def test_the_address_of_somebody_deleted_may_be_anothers(entra):
    sent = user()
    gone = UUID(entra.make("Users", sent))
    entra.send("DELETE", f"/Users/{gone}")

    namesake = UUID(entra.make("Users", sent | {"externalId": str(uuid4())}))

    found = users.of([gone, namesake])
    assert (sent["emails"][0]["value"], f"{gone}@{entra.provider_id}.invalid") == (
        found[namesake].email,
        found[gone].email,
    )


def test_provisioning_is_told_whom_a_later_sign_in_is(entra):
    object_id = str(uuid4())
    own = entra.user(externalId=object_id)

    assert UUID(own) == scim_users.account_of(entra.provider_id, object_id)
    entra.send("DELETE", f"/Users/{own}")
    assert scim_users.account_of(entra.provider_id, object_id) is None


def test_a_session_that_begins_later_is_not_let_in_either(entra, jane):
    entra.patch(f"/Users/{jane}", replace("active", "False"))

    assert not seen(jane)()
    assert timedelta(0) <= utc_now() - disabled_at(jane) < timedelta(minutes=1)


def disabled_at(user_id):
    with transaction(PLATFORM_ID) as session:
        return session.get(UserRow, user_id).disabled_at
