import pytest

from app.auth import permissions
from app.auth.permissions import PERMISSIONS, ROLES


def roles(platform_role=None, member_role=None, *, in_workspace=True):
    return permissions.roles_of(platform_role, member_role, in_workspace=in_workspace)


def test_every_permission_is_somebodys_and_every_role_can_read_its_workspace():
    known = {*ROLES, "person", "platform_admin", "platform_auditor"}

    assert all(PERMISSIONS.values())
    assert set().union(*PERMISSIONS.values()) == known
    assert set(ROLES) <= PERMISSIONS["workspace.read"]


def test_a_higher_role_may_what_a_lower_one_may_but_for_builders_and_payers():
    for permission, holders in PERMISSIONS.items():
        for role in ROLES[1:]:
            if role in holders and permission != "console.enter":
                assert "owner" in holders, permission
        assert "viewer" not in holders or set(ROLES) <= holders, permission


@pytest.mark.parametrize("permission", [name for name in PERMISSIONS if name.endswith(".manage")])
def test_bc_095_who_only_reads_changes_nothing(permission):
    for reader in (roles(member_role="viewer"), roles(member_role="billing"), roles("auditor")):
        assert not permissions.allows(reader, permission)


def test_a_platform_admin_is_an_owner_everywhere_and_an_auditor_reads_everywhere():
    assert permissions.allows(roles("admin"), "members.manage")
    assert permissions.allows(roles("admin", "viewer"), "workspace.manage")
    assert permissions.allows(roles("auditor"), "audit.read")
    assert permissions.allows(roles("auditor", "developer"), "keys.manage")


def test_outside_of_a_workspace_nobody_has_its_permissions():
    assert not permissions.allows(roles("admin", in_workspace=False), "keys.manage")
    assert not permissions.allows(roles(member_role="owner", in_workspace=False), "workspace.read")
    assert permissions.allows(roles("admin", in_workspace=False), "workspaces.create")
    assert not permissions.allows(roles(member_role="owner"), "workspaces.create")


def test_a_permission_that_is_not_in_the_table_is_a_bug():
    with pytest.raises(KeyError):
        permissions.allows(roles("admin"), "keys.everything")
