from uuid import uuid4

import pytest
from sqlalchemy import text

from app.auth import mappings
from app.auth.mappings import Rule
from app.errors import NotAllowed
from app.extensions import transaction
from app.units import PLATFORM_ID, new_id
from app.workspace import members, workspaces
from app.workspace.names import Invalid, NotFound
from tests import directory, people
from tests.factories import unique


def rule(provider_id, value, role, *, kind="app_role", label=None):
    return Rule(provider_id=provider_id, kind=kind, value=value, role=role, label=label)


def summary(changes):
    return {one.user_id: (one.before, one.after) for one in changes}


def entries(workspace_id, mapping_id):
    mine = text("select action, outcome from audit_outbox where object_id = :id order by occurred_at, audit_id")
    with transaction(workspace_id) as session:
        return [tuple(row) for row in session.execute(mine, {"id": str(mapping_id)})]


def test_a_dry_run_tells_who_gains_and_who_loses_and_changes_nothing(acme, entra):
    directory.mapping(acme, entra, "builders", "developer")
    builder = directory.newcomer(entra, app_roles=("builders",)).user_id
    payer = directory.newcomer(entra, app_roles=("payers",)).user_id
    both = directory.newcomer(entra, app_roles=("builders", "payers")).user_id
    by_hand = people.member(acme, "admin").user_id
    directory.identify(entra, by_hand)
    directory.arrive(by_hand, app_roles=("payers",))

    changes = mappings.preview(acme, [rule(entra, "payers", "billing")])

    expected = {builder: ("developer", None), payer: (None, "billing"), both: ("developer", "billing")}
    assert expected | {by_hand: ("admin", "admin")} == summary(changes)
    assert {payer} == {one.user_id for one in changes if one.gains}
    assert {builder, both} == {one.user_id for one in changes if one.loses}
    assert ["developer", None] == [members.role_of(acme, one) for one in (builder, payer)]


def test_a_dry_run_expects_nothing_of_a_provider_that_is_disabled(acme, entra):
    directory.newcomer(entra, app_roles=("builders",))
    group = directory.provisioned_group(entra, people.person().user_id)
    rules = [rule(entra, "builders", "developer"), rule(entra, str(group), "viewer", kind="group")]
    before = mappings.preview(acme, rules)

    directory.disable(entra)

    assert [("developer", None), ("viewer", None)] == sorted((one.after, one.before) for one in before)
    assert [] == mappings.preview(acme, rules)


@pytest.mark.parametrize("place", ["workspace", "platform"])
def test_saving_does_what_the_dry_run_has_said(acme, entra, place):
    here, role = (acme, "owner") if place == "workspace" else (PLATFORM_ID, "admin")
    crowd = [directory.newcomer(entra, app_roles=("top",)).user_id for _ in range(3)]
    top = rule(entra, "top", role)
    own = new_id()

    dry = mappings.preview(here, mappings.proposed(here, top))
    done = mappings.add(here, top, by=directory.by(), mapping_id=own, shown=mappings.digest(dry))
    assert dry == done
    assert dict.fromkeys(crowd, (None, role)) == summary(dry)
    dry = mappings.preview(here, mappings.proposed(here, None, instead_of=own))
    mappings.remove(here, own, by=directory.by(), shown=mappings.digest(dry))

    now = mappings.preview(here, [])
    assert [(crowd[2], role, True)] == [(one.user_id, one.after, one.kept) for one in now]
    assert {crowd[0]: (role, None), crowd[1]: (role, None), crowd[2]: (role, role)} == summary(dry)


def test_what_has_changed_since_the_dry_run_is_not_carried_out(acme, entra):
    builders = rule(entra, "builders", "developer")
    shown = mappings.digest(mappings.preview(acme, [builders]))
    directory.newcomer(entra, app_roles=("builders",))

    with pytest.raises(mappings.Outdated):
        mappings.add(acme, builders, by=directory.by(), shown=shown)

    assert [] == mappings.of(acme)
    assert [] == members.of(acme)


def test_a_mapping_is_changed_and_its_people_follow(acme, entra):
    own = directory.mapping(acme, entra, "builders", "developer")
    jane = directory.newcomer(entra, app_roles=("builders",)).user_id

    mappings.change(acme, own, rule(entra, "builders", "viewer", label="The builders"), by=directory.by())

    assert "viewer" == members.role_of(acme, jane)
    assert ("viewer", "The builders") == (mappings.get(acme, own).rule.role, mappings.get(acme, own).rule.label)
    assert [("mapping.create", "done"), ("mapping.update", "done")] == entries(acme, own)


def test_only_an_owner_maps_to_owner_or_touches_such_a_mapping(acme, entra):
    own = directory.mapping(acme, entra, "owners", "owner")
    lower = directory.mapping(acme, entra, "admins", "admin")
    admin = directory.by("admin")

    attempts = [
        lambda: mappings.add(acme, rule(entra, "more", "owner"), by=admin),
        lambda: mappings.change(acme, lower, rule(entra, "admins", "owner"), by=admin),
        lambda: mappings.change(acme, own, rule(entra, "owners", "viewer"), by=admin),
        lambda: mappings.remove(acme, own, by=admin),
        lambda: mappings.add(PLATFORM_ID, rule(entra, "more", "auditor"), by=admin),
    ]
    for attempt in attempts:
        with pytest.raises(NotAllowed):
            attempt()
    mappings.change(acme, lower, rule(entra, "admins", "viewer"), by=admin)

    assert ["owner", "viewer"] == [one.rule.role for one in mappings.of(acme)]
    assert [] == mappings.of(PLATFORM_ID)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"role": "root"}, "role: must be one of"),
        ({"kind": "e-mail"}, "kind: must be one of"),
        ({"value": ""}, "value: must have 1 to 200"),
        ({"value": "a\nb"}, "value: must not hold control"),
        ({"label": " "}, "label: must not begin"),
        ({"provider_id": uuid4()}, "provider: is not among"),
        ({"value": "there"}, "value: has a mapping already, to viewer"),
    ],
)
def test_a_mapping_that_is_none_is_refused(acme, entra, fields, problem):
    directory.mapping(acme, entra, "there", "viewer")
    given = {"provider_id": entra, "value": "builders", "role": "viewer"} | fields

    with pytest.raises(Invalid, match=problem):
        mappings.add(acme, rule(**given), by=directory.by())


def test_roles_of_workspaces_and_of_the_platform_are_not_mixed(acme, entra):
    for place, role in ((acme, "auditor"), (PLATFORM_ID, "owner"), (PLATFORM_ID, "viewer")):
        with pytest.raises(Invalid, match="role: must be one of"):
            mappings.add(place, rule(entra, "builders", role), by=directory.by())


def test_bc_099_another_workspaces_mapping_is_none_here(acme, entra):
    other = workspaces.create(unique("other"))
    own = directory.mapping(other, entra, "builders", "developer")

    for attempt in (
        lambda: mappings.get(acme, own),
        lambda: mappings.change(acme, own, rule(entra, "builders", "viewer"), by=directory.by()),
        lambda: mappings.remove(acme, own, by=directory.by()),
    ):
        with pytest.raises(NotFound):
            attempt()

    assert ["developer"] == [one.rule.role for one in mappings.of(other)]


def test_bc_112_the_same_form_twice_makes_one_mapping(acme, entra):
    own, admin = new_id(), directory.by("admin")

    for _ in range(2):
        mappings.add(acme, rule(entra, "builders", "developer"), by=admin, mapping_id=own)

    assert [own] == [one.mapping_id for one in mappings.of(acme)]


def test_what_gives_somebody_his_role_is_told(acme):
    entra = directory.provider(accounts="default", default_workspace_id=acme, default_role="viewer")
    directory.mapping(acme, entra, "people", "developer")
    admin = directory.mapping(acme, entra, "admins", "admin")
    jane = directory.newcomer(entra, app_roles=("people", "admins")).user_id
    john, jack = directory.newcomer(entra).user_id, people.person().user_id

    found = mappings.sources(acme, {jane: "admin", john: "viewer", jack: "owner"})

    assert admin == found[jane].mapping.mapping_id
    assert (None, entra) == (found[john].mapping, found[john].everybody_of.provider_id)
    assert mappings.Source() == found[jack]
