import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import sqlalchemy as sql
from sqlalchemy import text

from app.auth import mappings, users
from app.auth.directory_tables import ScimGroupMemberRow, ScimUserRow
from app.extensions import transaction
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import invitations, mapped_roles, members, workspaces
from app.workspace.mapped_roles import Standing
from app.workspace.members import By
from app.workspace.names import NotFound
from tests import directory, people
from tests.factories import unique


def standing(workspace_id, user_id):
    return mapped_roles.of_workspace(workspace_id).get(user_id, Standing())


def entries(workspace_id, user_id):
    mine = text(
        "select action, before, after, outcome, reason from audit_outbox where object_id = :id"
        " order by occurred_at, audit_id"
    )
    with transaction(workspace_id) as session:
        return [tuple(row) for row in session.execute(mine, {"id": str(user_id)})]


def platform_role(user_id):
    return users.of([user_id])[user_id].platform_role


def test_an_app_role_gives_a_role_at_sign_in_and_takes_it_at_the_next_one(acme, entra):
    directory.mapping(acme, entra, "Gateway.Developer", "developer")

    jane = directory.newcomer(entra, app_roles=("Gateway.Developer",)).user_id
    assert Standing(mapped="developer") == standing(acme, jane)
    directory.arrive(jane, app_roles=("Gateway.Other",))

    assert members.role_of(acme, jane) is None
    assert [("member.create", {"mapped_role": "developer"}), ("member.delete", None)] == [
        (action, after) for action, _, after, *_ in entries(acme, jane)
    ]


def test_what_a_mapping_means_is_exact(acme, entra):
    directory.mapping(acme, entra, "Gateway.Developer", "developer")
    group = str(uuid4())
    directory.mapping(acme, entra, group.upper(), "viewer", kind="group")

    asked = [
        ({"Gateway.Developer"}, set()),
        ({"gateway.developer"}, set()),
        (set(), {"Gateway.Developer"}),
        ({group}, set()),
        (set(), {group}),
        (set(), {group.upper()}),
    ]
    found = [mappings.roles_for(entra, app_roles=roles, groups=groups).get(acme) for roles, groups in asked]

    assert ["developer", None, None, None, "viewer", "viewer"] == found
    assert {} == mappings.roles_for(directory.provider(), app_roles={"Gateway.Developer"}, groups={group})


def test_the_highest_wins_in_each_workspace(acme, entra):
    beta = workspaces.create(unique("beta"))
    for value, role in (("low", "viewer"), ("high", "admin"), ("middle", "developer")):
        directory.mapping(acme, entra, value, role)
    directory.mapping(beta, entra, "low", "billing")
    directory.mapping(PLATFORM_ID, entra, "middle", "auditor")
    directory.mapping(PLATFORM_ID, entra, "high", "admin")

    everything = mappings.roles_for(entra, app_roles={"low", "high", "middle"}, groups=set())
    less = mappings.roles_for(entra, app_roles={"low", "middle"}, groups=set())

    assert {acme: "admin", beta: "billing", PLATFORM_ID: "admin"} == everything
    assert {acme: "developer", beta: "billing", PLATFORM_ID: "auditor"} == less


def test_what_was_given_by_hand_is_kept_apart_and_the_higher_counts(acme, entra):
    directory.mapping(acme, entra, "admins", "admin")
    jane = people.member(acme, "viewer").user_id
    directory.identify(entra, jane)

    directory.arrive(jane, app_roles=("admins",))
    assert (Standing("viewer", "admin"), "admin") == (standing(acme, jane), members.role_of(acme, jane))
    directory.arrive(jane)

    assert (Standing("viewer"), "viewer") == (standing(acme, jane), members.role_of(acme, jane))


def test_a_sign_in_that_changes_nothing_writes_nothing(acme, entra):
    directory.mapping(acme, entra, "admins", "admin")
    jane = directory.newcomer(entra, app_roles=("admins",)).user_id
    before = entries(acme, jane)

    assert [] == directory.arrive(jane, app_roles=("admins",))
    assert before == entries(acme, jane)


def test_a_role_of_the_platform_comes_and_goes_too(entra):
    directory.mapping(PLATFORM_ID, entra, "auditors", "auditor")

    jane = directory.newcomer(entra, app_roles=("auditors",)).user_id
    assert "auditor" == platform_role(jane)
    directory.arrive(jane)

    assert platform_role(jane) is None
    assert [("auditor", "done"), (None, "done")] == [
        (after["mapped_platform_role"], outcome) for _, _, after, outcome, _ in entries(PLATFORM_ID, jane)
    ]


def test_groups_of_provisioning_count_by_their_id_here_and_there(acme, entra):
    theirs = str(uuid4())
    jane, john, jack = (people.person().user_id for _ in range(3))
    ours = directory.provisioned_group(entra, jane)
    directory.provisioned_group(entra, john, jack, external_id=theirs.upper())
    directory.mapping(acme, entra, str(ours), "developer", kind="group")
    directory.mapping(acme, entra, theirs, "billing", kind="group")

    assert [{acme: "developer"}, {acme: "billing"}] == [mappings.roles_of(jane), mappings.roles_of(john)]
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.delete(ScimGroupMemberRow).where(ScimGroupMemberRow.user_id == john))
    mappings.sync(john)

    assert [Standing(mapped="developer"), Standing(), Standing(mapped="billing")] == [
        standing(acme, one) for one in (jane, john, jack)
    ]


def test_two_providers_are_taken_together_and_a_disabled_one_gives_nothing(acme, entra):
    other = directory.provider()
    directory.mapping(acme, entra, "builders", "developer")
    jane = directory.newcomer(entra, app_roles=("builders",)).user_id
    group = directory.provisioned_group(other, jane)
    directory.mapping(acme, other, str(group), "admin", kind="group")

    assert "admin" == members.role_of(acme, jane)
    directory.disable(other)
    mappings.sync(jane)

    assert "developer" == members.role_of(acme, jane)
    assert {} == mappings.roles_for(other, app_roles=set(), groups={str(group)})


def test_a_providers_default_role_is_the_least_that_its_people_have(acme):
    entra = directory.provider(accounts="default", default_workspace_id=acme, default_role="viewer")
    mapped = directory.mapping(acme, entra, "admins", "admin")
    jane, john = directory.newcomer(entra).user_id, directory.newcomer(entra, app_roles=("admins",)).user_id

    assert ["viewer", "admin"] == [members.role_of(acme, one) for one in (jane, john)]
    mappings.remove(acme, mapped, by=directory.by())

    assert ["viewer", "viewer"] == [members.role_of(acme, one) for one in (jane, john)]


def test_who_is_provisioned_has_the_default_role_until_provisioning_deletes_him(acme):
    entra = directory.provider(accounts="default", default_workspace_id=acme, default_role="viewer")
    jane = people.person().user_id
    directory.provisioned_group(entra, jane)

    mappings.sync(jane)
    assert "viewer" == members.role_of(acme, jane)
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.update(ScimUserRow).where(ScimUserRow.user_id == jane).values(deleted_at=utc_now()))
    mappings.sync(jane)

    assert members.role_of(acme, jane) is None


def test_bc_096_the_last_owner_stays_owner_when_the_directory_takes_it(acme, entra):
    directory.mapping(acme, entra, "owners", "owner")
    jane = directory.newcomer(entra, app_roles=("owners",)).user_id

    (change,) = directory.arrive(jane)

    assert ("owner", "owner", True) == (change.before, change.after, change.kept)
    assert "owner" == members.role_of(acme, jane)
    action, _, _, outcome, reason = entries(acme, jane)[-1]
    assert ("member.update", "refused", mapped_roles.LAST_OWNER) == (action, outcome, reason)
    people.member(acme, "owner")
    directory.arrive(jane)
    assert members.role_of(acme, jane) is None


def test_bc_096_the_last_admin_of_the_platform_stays_admin(entra):
    directory.mapping(PLATFORM_ID, entra, "admins", "admin")
    jane = directory.newcomer(entra, app_roles=("admins",)).user_id

    directory.arrive(jane)
    assert "admin" == platform_role(jane)
    people.person(platform_role="admin")
    directory.arrive(jane)

    assert platform_role(jane) is None


def test_bc_096_of_two_owners_who_lose_it_at_once_one_stays(app, acme, entra):
    directory.mapping(acme, entra, "owners", "owner")
    for _ in range(5):
        pair = [directory.newcomer(entra, app_roles=("owners",)).user_id for _ in range(2)]

        at_once(app, *(lambda one=one: directory.arrive(one) for one in pair))

        assert 1 == sum(members.role_of(acme, one) == "owner" for one in pair)
        with transaction(acme) as session:
            session.execute(text("delete from membership where workspace_id = :id"), {"id": acme})


def test_two_sign_ins_of_one_person_at_once_make_one_membership(app, acme, entra):
    directory.mapping(acme, entra, "builders", "developer")
    for _ in range(5):
        jane = people.person().user_id
        directory.identify(entra, jane)

        failed = at_once(app, *[lambda jane=jane: directory.arrive(jane, app_roles=("builders",))] * 3)

        assert [] == failed
        assert Standing(mapped="developer") == standing(acme, jane)
        assert 1 == len(entries(acme, jane))


def test_a_mapping_that_goes_while_people_sign_in_leaves_its_role_to_nobody(app, acme, entra):
    for _ in range(5):
        own = directory.mapping(acme, entra, "builders", "developer")
        crowd = [people.person().user_id for _ in range(3)]
        for one in crowd:
            directory.identify(entra, one)

        sign_ins = [lambda one=one: directory.arrive(one, app_roles=("builders",)) for one in crowd]
        failed = at_once(app, *sign_ins, lambda own=own: mappings.remove(acme, own, by=directory.by()))

        assert [] == failed
        assert [None] * 3 == [members.role_of(acme, one) for one in crowd]


@pytest.mark.parametrize("by_hand", ["given", "taken"])
def test_a_sign_in_and_a_change_by_hand_at_once_both_count(app, acme, entra, by_hand):
    directory.mapping(acme, entra, "builders", "developer")
    root = By(user_id=new_id(), role="owner")
    for _ in range(8):
        jane = (people.person() if by_hand == "given" else people.member(acme, "viewer")).user_id
        directory.identify(entra, jane)

        def change(jane=jane):
            if by_hand == "given":
                members.add(acme, jane, "viewer", name="jane")
            else:
                members.remove(acme, jane, by=root, name="jane")

        failed = at_once(app, lambda jane=jane: directory.arrive(jane, app_roles=("builders",)), change)

        assert [] == failed
        assert Standing("viewer" if by_hand == "given" else None, "developer") == standing(acme, jane)


def at_once(app, *works):
    """Do things in threads of their own; give what they raised."""
    barrier = threading.Barrier(len(works))

    def run(work):
        with app.app_context():
            barrier.wait(10)
            work()

    with ThreadPoolExecutor(len(works)) as pool:
        running = [pool.submit(run, work) for work in works]
        return [one.exception(30) for one in running if one.exception(30)]


def test_who_loses_a_role_loses_the_invitations_that_he_may_make_no_more(acme, entra):
    directory.mapping(acme, entra, "admins", "admin")
    jane = directory.newcomer(entra, app_roles=("admins",)).user_id
    invitations.create(acme, "his@example.test", "admin", by=By(user_id=jane, role="admin"), now=utc_now())

    directory.arrive(jane)

    assert [] == invitations.open_of(acme)


def test_an_account_that_is_not_there_gets_nothing(app):
    assert app.testing

    with pytest.raises(NotFound):
        mappings.sync(new_id())
    with pytest.raises(NotFound):
        mappings.seen(directory.TENANT, "nobody", app_roles=(), groups=())
