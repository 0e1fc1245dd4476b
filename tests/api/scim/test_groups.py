"""Groups, by the requests of Entra ID's documentation, and the roles that follow from them."""

from uuid import UUID, uuid4

import pytest

from app.auth import users
from app.units import PLATFORM_ID
from app.workspace import members, workspaces
from tests import directory
from tests.api.scim.directory import GROUP, add_members, group, remove_member, remove_members, replace
from tests.factories import unique


def people_in(entra, own):
    return {member["value"] for member in entra.get(f"/Groups/{own}").json["members"]}


@pytest.fixture
def acme(app):
    assert app.testing
    return workspaces.create(unique("acme"))


def role_of(workspace_id, own):
    return members.role_of(workspace_id, UUID(own))


def test_a_created_group_is_answered_with_what_was_sent(entra):
    sent = group()

    answer = entra.send("POST", "/Groups", sent)

    told = answer.json
    assert (201, "application/scim+json") == (answer.status_code, answer.content_type)
    assert f"http://localhost/scim/v2/Groups/{told['id']}" == answer.headers["Location"]
    assert ([GROUP], sent["externalId"], sent["displayName"]) == (
        told["schemas"],
        told["externalId"],
        told["displayName"],
    )
    assert ([], "Group") == (told["members"], told["meta"]["resourceType"])


def test_members_are_left_out_when_they_are_not_wanted(entra):
    own = entra.group(entra.user())

    without = entra.get(f"/Groups/{own}", excludedAttributes="members").json
    (listed,) = entra.ask("Groups", f'displayName eq "{without["displayName"].upper()}"', excludedAttributes="members")

    assert "members" not in without
    assert without == listed
    assert 1 == len(people_in(entra, own))


def test_lists_have_members_only_when_they_are_asked_for_by_name(entra):
    jane = entra.user()
    own = entra.group(jane)

    usual = entra.get("/Groups").json["Resources"]
    named = entra.get("/Groups", attributes="displayName,members").json["Resources"]

    assert [None, [jane]] == [usual[0].get("members"), [member["value"] for member in named[0]["members"]]]
    assert own == named[0]["id"]


def test_a_group_is_found_by_what_entra_asks_for(entra):
    jane = entra.user()
    sent = group()
    own = entra.make("Groups", sent)
    entra.patch(f"/Groups/{own}", add_members(jane))
    entra.group()

    words = [
        f'displayName eq "{sent["displayName"]}"',
        f'externalId eq "{sent["externalId"]}"',
        f'id eq "{own}" and members eq "{jane}"',
        f'members[value eq "{jane}"].value eq "{jane}"',
    ]
    assert {asked: [own] for asked in words[:3]} == {
        asked: [found["id"] for found in entra.ask("Groups", asked)] for asked in words[:3]
    }
    assert [] == entra.ask("Groups", f'id eq "{own}" and members eq "{uuid4()}"')
    assert 400 == entra.get("/Groups", filter=words[3]).status_code


def test_a_group_is_renamed(entra):
    own = entra.group()

    answer = entra.patch(f"/Groups/{own}", replace("displayName", "Renamed"))

    assert (204, b"") == (answer.status_code, answer.data)
    assert "Renamed" == entra.get(f"/Groups/{own}").json["displayName"]


def test_a_group_is_changed_without_a_path(entra):
    jane, own = entra.user(), entra.group()
    value = {"id": own, "displayName": "Renamed", "externalId": "4711", "members": [{"value": jane}]}

    answer = entra.patch(f"/Groups/{own}", {"op": "replace", "value": value})

    told = entra.get(f"/Groups/{own}").json
    assert 204 == answer.status_code
    assert ("Renamed", "4711", {jane}) == (told["displayName"], told["externalId"], people_in(entra, own))


def test_members_come_and_go_in_every_form(entra):
    jane, joy, jim = entra.user(), entra.user(), entra.user()
    own = entra.group()
    steps = [
        ([add_members(jane, joy)], {jane, joy}),
        ([add_members(jane)], {jane, joy}),
        ([add_members(jim), remove_members(jane)], {joy, jim}),
        ([remove_member(jim)], {joy}),
        ([remove_member(jim), remove_members(str(uuid4()))], {joy}),
        ([{"op": "replace", "path": "members", "value": [{"value": jane}, {"value": jim}]}], {jane, jim}),
        ([{"op": "add", "path": "members", "value": {"value": joy}}], {jane, joy, jim}),
        ([{"op": "Remove", "path": "members", "value": []}], {jane, joy, jim}),
        ([{"op": "Remove", "path": "members"}], set()),
    ]

    for operations, expected in steps:
        answer = entra.patch(f"/Groups/{own}", *operations)
        assert (204, expected) == (answer.status_code, people_in(entra, own)), operations


def test_a_group_is_put_in_anothers_place(entra):
    jane, joy = entra.user(), entra.user()
    own = entra.group(jane)

    told = entra.send("PUT", f"/Groups/{own}", group(displayName="Put", members=[{"value": joy}])).json

    assert ("Put", [joy]) == (told["displayName"], [member["value"] for member in told["members"]])


def test_a_deleted_group_is_gone_and_its_people_stay(entra):
    jane = entra.user()
    own = entra.group(jane)

    answer = entra.send("DELETE", f"/Groups/{own}")

    assert (204, 404) == (answer.status_code, entra.get(f"/Groups/{own}").status_code)
    assert 200 == entra.get(f"/Users/{jane}").status_code


def test_a_patch_is_done_whole_or_not_at_all(entra):
    jane, own = entra.user(), entra.group(displayName="Before")

    answer = entra.patch(f"/Groups/{own}", replace("displayName", "After"), add_members(jane, str(uuid4())))

    assert (400, "invalidValue") == (answer.status_code, answer.json["scimType"])
    assert ("Before", set()) == (entra.get(f"/Groups/{own}").json["displayName"], people_in(entra, own))


def test_who_comes_into_a_mapped_group_has_its_role_and_loses_it_with_the_group(entra, acme):
    jane, joy = entra.user(), entra.user()
    external_id = str(uuid4())
    own = entra.group(jane, externalId=external_id)
    directory.mapping(acme, entra.provider_id, external_id, "developer", kind="group")
    assert ["developer", None] == [role_of(acme, jane), role_of(acme, joy)]

    entra.patch(f"/Groups/{own}", add_members(joy), remove_members(jane))
    assert [None, "developer"] == [role_of(acme, jane), role_of(acme, joy)]

    entra.send("DELETE", f"/Groups/{own}")
    assert [None, None] == [role_of(acme, jane), role_of(acme, joy)]


def test_a_group_that_becomes_a_mapped_one_gives_its_role(entra, acme):
    jane = entra.user()
    own, external_id = entra.group(jane), str(uuid4())
    directory.mapping(acme, entra.provider_id, external_id, "viewer", kind="group")

    entra.patch(f"/Groups/{own}", replace("externalId", external_id.upper()))

    assert "viewer" == role_of(acme, jane)


def test_a_mapping_may_name_a_group_by_its_id_here(entra, acme):
    jane, own = entra.user(), entra.group()
    directory.mapping(acme, entra.provider_id, own, "billing", kind="group")

    entra.patch(f"/Groups/{own}", add_members(jane))

    assert "billing" == role_of(acme, jane)


def test_a_deleted_user_leaves_his_groups_and_their_roles(entra, acme):
    jane, own = entra.user(), entra.group()
    directory.mapping(acme, entra.provider_id, own, "billing", kind="group")
    entra.patch(f"/Groups/{own}", add_members(jane))

    entra.send("DELETE", f"/Users/{jane}")

    assert (None, set()) == (role_of(acme, jane), people_in(entra, own))


def test_a_new_person_has_the_role_that_the_provider_gives_to_everybody(app, acme):
    from tests.api.scim.directory import connect

    generous = connect(app, accounts="default", default_workspace_id=acme, default_role="viewer")

    jane = generous.user()
    assert "viewer" == role_of(acme, jane)

    generous.send("DELETE", f"/Users/{jane}")
    assert role_of(acme, jane) is None


def test_of_several_groups_the_highest_role_counts_also_on_the_platform(entra, acme):
    jane, low, high = entra.user(), entra.group(), entra.group()
    for own, role in ((low, "viewer"), (high, "admin")):
        directory.mapping(acme, entra.provider_id, own, role, kind="group")
    directory.mapping(PLATFORM_ID, entra.provider_id, high, "auditor", kind="group")

    roles = []
    for operation in (add_members(jane), remove_members(jane)):
        for own in (low, high):
            entra.patch(f"/Groups/{own}", operation)
            roles.append((role_of(acme, jane), users.of([UUID(jane)])[UUID(jane)].platform_role))

    assert [("viewer", None), ("admin", "auditor"), ("admin", "auditor"), (None, None)] == roles
