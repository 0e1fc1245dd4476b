"""Who may do what: one table, read by every route.

In a workspace a person has the role of his membership. The platform's admin acts as an owner
everywhere, its auditor reads everywhere; `person` is everybody who is signed in.
"""

from app.workspace.members import ROLES

__all__ = ["PERMISSIONS", "PLATFORM_ROLES", "ROLES", "allows", "roles_of"]

PLATFORM_ROLES = ("admin", "auditor")
PERSON = "person"
PLATFORM_ADMIN = "platform_admin"
PLATFORM_AUDITOR = "platform_auditor"

_EVERYBODY = frozenset({*ROLES, PLATFORM_AUDITOR})
_BUILDERS = frozenset({"owner", "admin", "developer"})
_ADMINS = frozenset({"owner", "admin"})
_PAYERS = frozenset({"owner", "admin", "billing", PLATFORM_AUDITOR})

PERMISSIONS: dict[str, frozenset[str]] = {
    "console.enter": frozenset({PERSON}),
    "workspace.read": _EVERYBODY,
    "workspace.manage": frozenset({"owner"}),
    "members.read": _EVERYBODY,
    "members.manage": _ADMINS,
    "mappings.read": _ADMINS | {PLATFORM_AUDITOR},
    "mappings.manage": _ADMINS,
    "applications.read": _EVERYBODY,
    "applications.manage": _BUILDERS,
    "keys.read": _EVERYBODY,
    "keys.manage": _BUILDERS,
    "providers.read": _EVERYBODY,
    "providers.manage": _ADMINS,
    "models.read": _EVERYBODY,
    "models.manage": _ADMINS,
    "prices.read": _EVERYBODY,
    "prices.manage": _ADMINS,
    "contracts.manage": frozenset({PLATFORM_ADMIN}),
    "usage.read": _EVERYBODY,
    "usage.export": _PAYERS,
    "exports.read": _PAYERS,
    "exports.order": _ADMINS | {"billing"},
    "budgets.read": _EVERYBODY,
    "budgets.manage": _ADMINS,
    "channels.read": _ADMINS | {PLATFORM_AUDITOR},
    "channels.manage": _ADMINS,
    "periods.read": _PAYERS,
    "periods.manage": _ADMINS,
    "rating.read": _PAYERS,
    "rating.manage": _ADMINS,
    "periods.reopen": frozenset({PLATFORM_ADMIN}),
    "audit.read": _ADMINS | {PLATFORM_AUDITOR},
    "settings.manage": _ADMINS,
    "platform.read": frozenset({PLATFORM_ADMIN, PLATFORM_AUDITOR}),
    "platform.manage": frozenset({PLATFORM_ADMIN}),
    "workspaces.create": frozenset({PLATFORM_ADMIN}),
}
"""Permission → the roles that have it."""


def roles_of(platform_role: str | None, member_role: str | None, *, in_workspace: bool) -> frozenset[str]:
    """Collect what a person is: in the platform, and in the workspace at hand when there is one."""
    roles = {PERSON}
    if platform_role:
        roles.add(f"platform_{platform_role}")
    if in_workspace and platform_role == "admin":
        roles.add("owner")
    elif in_workspace and member_role:
        roles.add(member_role)
    return frozenset(roles)


def allows(roles: frozenset[str], permission: str) -> bool:
    """Tell whether any of the roles has the permission. An unknown permission is a bug and raises `KeyError`."""
    return bool(roles & PERMISSIONS[permission])
