"""The rules themselves: which app role or group of which identity provider gives which role, in one place."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.auth.directory_tables import IdentityProviderRow, RoleMappingRow
from app.auth.mappings_claims import Claims, normal_group
from app.auth.permissions import PLATFORM_ROLES
from app.extensions import transaction
from app.units import PLATFORM_ID
from app.workspace import members, names
from app.workspace.members import By
from app.workspace.names import Invalid, NotFound

KINDS = ("app_role", "group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Whoever has `value` at a provider has `role`. `kind` is app_role or group; `label` is what people call the value."""

    provider_id: UUID
    kind: str
    value: str
    role: str
    label: str | None = None

    def is_about(self, claims: Claims) -> bool:
        """Tell whether it gives its role to whom a provider says this of."""
        return self.provider_id == claims.provider_id and claims.meet(self.kind, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """An identity provider as mappings name it. `gives` is the role that all its people have in the place asked about."""

    provider_id: UUID
    name: str
    kind: str
    enabled: bool
    gives: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A rule that stands in a workspace; in the platform's it gives a role of the platform."""

    workspace_id: UUID
    mapping_id: UUID
    rule: Rule
    created_at: datetime


def of(workspace_id: UUID) -> list[Mapping]:
    """List a workspace's mappings, the highest role first."""
    statement = select(RoleMappingRow).where(RoleMappingRow.workspace_id == workspace_id)
    with transaction(workspace_id) as session:
        found = [_value(row) for row in session.scalars(statement.order_by(RoleMappingRow.value))]
    return sorted(found, key=lambda one: roles_in(workspace_id).index(one.rule.role))


def get(workspace_id: UUID, mapping_id: UUID) -> Mapping:
    """Read one; raise `NotFound`."""
    with transaction(workspace_id) as session:
        return _value(row_of(session, workspace_id, mapping_id))


def directories(workspace_id: UUID) -> list[Directory]:
    """List the identity providers by name, as a place sees them."""
    with transaction(workspace_id) as session:
        rows = session.scalars(select(IdentityProviderRow).order_by(IdentityProviderRow.name)).all()
        return [_directory(row, workspace_id) for row in rows]


def roles_in(workspace_id: UUID) -> Sequence[str]:
    """The roles that there are in a place, the highest first."""
    return PLATFORM_ROLES if workspace_id == PLATFORM_ID else members.ROLES


def highest(workspace_id: UUID, *roles: str | None) -> str | None:
    """The highest of some roles of a place; None when there is none."""
    return min((role for role in roles if role), key=roles_in(workspace_id).index, default=None)


def check(workspace_id: UUID, rule: Rule, *, by: By) -> Rule:
    """Give the rule as it will be stored; raise `Invalid` for a field, `NotAllowed` for a role that `by` may not give."""
    if rule.kind not in KINDS:
        raise Invalid("kind", f"must be one of {', '.join(KINDS)}")
    if rule.role not in roles_in(workspace_id):
        raise Invalid("role", f"must be one of {', '.join(roles_in(workspace_id))}")
    check_may(workspace_id, rule, by=by)
    names.check_foreign("value", rule.value)
    if rule.label is not None:
        names.check_foreign("label", rule.label)
    with transaction(workspace_id) as session:
        if session.get(IdentityProviderRow, rule.provider_id) is None:
            raise Invalid("provider", "is not among the identity providers")
    value = normal_group(rule.value) if rule.kind == "group" else rule.value
    return Rule(provider_id=rule.provider_id, kind=rule.kind, value=value, role=rule.role, label=rule.label)


def check_may(workspace_id: UUID, rule: Rule, *, by: By) -> None:
    """Raise `NotAllowed` for a role above the own one. Roles of the platform are its admin's, who acts as an owner."""
    members.check_may_give(by, "owner" if workspace_id == PLATFORM_ID else rule.role)


def check_only_one(workspace_id: UUID, rule: Rule, *, besides: UUID | None = None) -> None:
    """Raise `Invalid` when another mapping is about the same claim."""
    claim = (rule.provider_id, rule.kind, rule.value)
    for one in of(workspace_id):
        if one.mapping_id != besides and (one.rule.provider_id, one.rule.kind, one.rule.value) == claim:
            raise Invalid("value", f"has a mapping already, to {one.rule.role}")


def fill(row: RoleMappingRow, rule: Rule) -> None:
    """Write a rule into its row."""
    row.provider_id, row.kind, row.value = rule.provider_id, rule.kind, rule.value
    row.role, row.label = rule.role, rule.label


def row_of(session: Session, workspace_id: UUID, mapping_id: UUID) -> RoleMappingRow:
    """Read a mapping's row; raise `NotFound`."""
    row = session.get(RoleMappingRow, (workspace_id, mapping_id), populate_existing=True)
    if row is None:
        raise NotFound(f"there is no mapping {mapping_id}")
    return row


def rule_of(row: RoleMappingRow) -> Rule:
    """Take the rule from its row."""
    return Rule(provider_id=row.provider_id, kind=row.kind, value=row.value, role=row.role, label=row.label)


def _directory(row: IdentityProviderRow, workspace_id: UUID) -> Directory:
    gives = row.default_role if row.default_workspace_id == workspace_id else None
    enabled = row.disabled_at is None
    return Directory(provider_id=row.provider_id, name=row.name, kind=row.kind, enabled=enabled, gives=gives)


def _value(row: RoleMappingRow) -> Mapping:
    return Mapping(
        workspace_id=row.workspace_id, mapping_id=row.mapping_id, rule=rule_of(row), created_at=row.created_at
    )
