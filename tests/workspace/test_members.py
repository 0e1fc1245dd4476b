import contextlib
import threading

import pytest
from sqlalchemy import text

from app.errors import NotAllowed
from app.extensions import transaction
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import invitations, mapped_roles, members, workspaces
from app.workspace.mapped_roles import Standing
from app.workspace.members import By
from app.workspace.names import Invalid, NotFound
from tests import people
from tests.factories import unique


@pytest.fixture
def acme(app):
    assert app.testing
    return workspaces.create(unique("acme"))


def by(workspace_id, role):
    """Make a member and act as him."""
    return By(user_id=people.member(workspace_id, role).user_id, role=role)


def roles(workspace_id):
    return sorted(one.role for one in members.of(workspace_id))


def change(workspace_id, user_id, role, who):
    members.change_role(workspace_id, user_id, role, by=who, name="somebody")


def remove(workspace_id, user_id, who):
    members.remove(workspace_id, user_id, by=who, name="somebody")


def test_a_member_gets_another_role_and_leaves(acme):
    owner, jane = by(acme, "owner"), by(acme, "viewer").user_id

    change(acme, jane, "developer", owner)
    assert "developer" == members.role_of(acme, jane)
    remove(acme, jane, owner)

    assert members.role_of(acme, jane) is None
    assert ["owner"] == roles(acme)


@pytest.mark.parametrize("actor", ["self", "admin of the platform"])
def test_bc_096_the_last_owner_stays_owner(acme, actor):
    owner = by(acme, "owner")
    by(acme, "admin")
    who = owner if actor == "self" else By(user_id=new_id(), role="owner")

    for attempt in (lambda: change(acme, owner.user_id, "viewer", who), lambda: remove(acme, owner.user_id, who)):
        with pytest.raises(Invalid, match="last owner"):
            attempt()

    assert ["admin", "owner"] == roles(acme)


@pytest.mark.parametrize("way", ["demote", "remove"])
def test_bc_096_of_two_owners_that_undo_each_other_at_once_one_stays(app, acme, way):
    for _ in range(5):
        left, right = by(acme, "owner"), by(acme, "owner")
        _undo_each_other(app, acme, (left, right), way)

        owners = [one.user_id for one in members.of(acme) if one.role == "owner"]
        assert 1 == len(owners)
        with transaction(acme) as session:
            session.execute(text("delete from membership where workspace_id = :id"), {"id": acme})


def _undo_each_other(app, workspace_id, pair, way):
    barrier = threading.Barrier(2)

    def undo(me, other):
        with app.app_context():
            barrier.wait(10)
            with contextlib.suppress(Invalid):
                if way == "demote":
                    change(workspace_id, other.user_id, "viewer", me)
                else:
                    remove(workspace_id, other.user_id, me)

    threads = [threading.Thread(target=undo, args=(me, other)) for me, other in (pair, pair[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize(
    ("actor", "before", "after"),
    [("admin", "viewer", "owner"), ("admin", "owner", "viewer"), ("developer", "viewer", "admin")],
)
def test_nobody_gives_or_takes_a_role_above_his_own(acme, actor, before, after):
    by(acme, "owner")
    who, other = by(acme, actor), by(acme, before).user_id

    with pytest.raises(NotAllowed):
        change(acme, other, after, who)
    if before == "owner":
        with pytest.raises(NotAllowed):
            remove(acme, other, who)

    assert before == members.role_of(acme, other)


def test_bc_097_nobody_raises_his_own_role_even_as_the_platforms_admin(acme):
    me = by(acme, "viewer").user_id

    with pytest.raises(NotAllowed, match="own role"):
        change(acme, me, "developer", By(user_id=me, role="owner"))

    assert "viewer" == members.role_of(acme, me)


def test_a_role_that_does_not_exist_is_refused(acme):
    owner, jane = by(acme, "owner"), by(acme, "viewer").user_id

    for role in ("", "root", "platform_admin", "Owner"):
        with pytest.raises(Invalid):
            change(acme, jane, role, owner)


def test_bc_099_another_workspaces_member_is_none_here(acme):
    other = workspaces.create(unique("other"))
    owner, stranger = by(acme, "owner"), by(other, "viewer").user_id

    for attempt in (lambda: change(acme, stranger, "admin", owner), lambda: remove(acme, stranger, owner)):
        with pytest.raises(NotFound):
            attempt()

    assert "viewer" == members.role_of(other, stranger)


def test_what_somebody_invited_to_goes_when_he_may_no_more(acme):
    owner, admin = by(acme, "owner"), by(acme, "admin")
    invitations.create(acme, "his@example.test", "admin", by=admin, now=utc_now())
    invitations.create(acme, "hers@example.test", "admin", by=owner, now=utc_now())

    change(acme, admin.user_id, "developer", owner)

    assert ["hers@example.test"] == [one.email for one in invitations.open_of(acme)]


def test_a_demoted_owner_keeps_the_invitations_that_an_admin_may_make(acme):
    owner, other = by(acme, "owner"), by(acme, "owner")
    for email, role in (("a@example.test", "owner"), ("b@example.test", "viewer")):
        invitations.create(acme, email, role, by=other, now=utc_now())

    change(acme, other.user_id, "admin", owner)

    assert ["b@example.test"] == [one.email for one in invitations.open_of(acme)]


def test_the_platform_has_no_members(app):
    with pytest.raises(Invalid):
        members.add(PLATFORM_ID, people.person().user_id, "viewer", name="somebody")

    assert app.testing
    assert [] == members.of(PLATFORM_ID)


def test_a_person_finds_his_workspaces_and_no_others(acme):
    beta = workspaces.create(unique("beta"), timezone="Asia/Kathmandu")
    jane = people.member(acme, "viewer").user_id
    members.add(beta, jane, "owner", name="jane")
    workspaces.create(unique("other"))

    found = [(place.workspace.workspace_id, place.workspace.timezone, place.role) for place in members.places_of(jane)]

    assert [(acme, "UTC", "viewer"), (beta, "Asia/Kathmandu", "owner")] == found
    assert members.place_of(new_id(), jane) is None


def test_changes_of_members_are_in_the_audit_trail(acme):
    owner, jane = by(acme, "owner"), by(acme, "viewer").user_id
    change(acme, jane, "viewer", owner)
    change(acme, jane, "developer", owner)
    remove(acme, jane, owner)

    with transaction(acme) as session:
        mine = text(
            "select action, before, after from audit_outbox where object_id = :id order by occurred_at, audit_id"
        )
        found = [tuple(row) for row in session.execute(mine, {"id": str(jane)})]
    assert [
        ("member.create", None, {"role": "viewer", "source": "manual"}),
        ("member.update", {"role": "viewer"}, {"role": "developer"}),
        ("member.delete", {"role": "developer"}, None),
    ] == found


def mapped(workspace_id, role, granted=None):
    """Make somebody who has a role by mapping."""
    own = (people.member(workspace_id, granted) if granted else people.person()).user_id
    mapped_roles.put(workspace_id, own, role, name="mapped")
    return own


def standing(workspace_id, user_id):
    return mapped_roles.of_workspace(workspace_id).get(user_id, Standing())


def test_a_change_by_hand_leaves_what_a_mapping_gives(acme):
    owner, jane = by(acme, "owner"), mapped(acme, "developer", granted="viewer")

    change(acme, jane, "billing", owner)
    assert (Standing("billing", "developer"), "developer") == (standing(acme, jane), members.role_of(acme, jane))
    change(acme, jane, "admin", owner)

    assert (Standing("admin", "developer"), "admin") == (standing(acme, jane), members.role_of(acme, jane))


def test_a_removed_member_keeps_what_a_mapping_gives(acme):
    owner, jane, john = by(acme, "owner"), mapped(acme, "viewer", granted="admin"), by(acme, "viewer").user_id

    assert "viewer" == members.remove(acme, jane, by=owner, name="jane")
    assert members.remove(acme, john, by=owner, name="john") is None

    assert [Standing(mapped="viewer"), Standing()] == [standing(acme, one) for one in (jane, john)]
    with pytest.raises(Invalid, match="from a mapping alone"):
        members.remove(acme, jane, by=owner, name="jane")


def test_a_mapped_member_is_given_a_role_by_hand_and_by_invitation(acme):
    owner, jane, john = by(acme, "owner"), mapped(acme, "viewer"), mapped(acme, "viewer")

    change(acme, jane, "developer", owner)
    members.add(acme, john, "admin", name="john", source="invitation")

    assert [Standing("developer", "viewer"), Standing("admin", "viewer")] == [
        standing(acme, one) for one in (jane, john)
    ]
    with pytest.raises(Invalid, match="member already"):
        members.add(acme, john, "viewer", name="john")


def test_bc_096_a_last_owner_by_mapping_is_no_reason_to_keep_it_by_hand(acme):
    jane = mapped(acme, "owner", granted="owner")
    other = By(user_id=new_id(), role="owner")

    change(acme, jane, "viewer", other)
    assert "owner" == members.role_of(acme, jane)

    assert not mapped_roles.put(acme, jane, "admin", name="jane")
    assert (Standing("viewer", "owner"), "owner") == (standing(acme, jane), members.role_of(acme, jane))


def test_bc_097_nobody_makes_his_mapped_role_one_for_good(acme):
    jane = mapped(acme, "admin")

    with pytest.raises(NotAllowed, match="own role"):
        change(acme, jane, "admin", By(user_id=jane, role="admin"))

    assert Standing(mapped="admin") == standing(acme, jane)
