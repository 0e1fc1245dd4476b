"""What provisioning may ask for: attribute → the rows that have a value. Entra ID asks by `eq` alone, joined by `and`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, sql

from app.auth.directory_tables import ScimGroupMemberRow, ScimGroupRow, ScimUserRow
from app.auth.scim_documents import ENTERPRISE, flag
from app.auth.tables import UserRow
from app.workspace.names import Invalid

Match = Callable[[Any], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Condition:
    """`attribute eq value`. The attribute is in small letters but for what stands in quotes."""

    attribute: str
    value: Any


def of_user(condition: Condition) -> ColumnElement[bool]:
    """Find the people who meet a condition; raise `Invalid` for an attribute that cannot be asked for."""
    return _match(USERS, condition)


def of_group(condition: Condition) -> ColumnElement[bool]:
    """Find the groups that meet a condition; raise `Invalid` for an attribute that cannot be asked for."""
    return _match(GROUPS, condition)


def _match(matches: dict[str, Match], condition: Condition) -> ColumnElement[bool]:
    match = matches.get(condition.attribute)
    if match is None:
        raise Invalid("filter", f"can ask for {', '.join(matches)} and not for {condition.attribute}")
    return match(condition.value)


def _same(column: Any) -> Match:
    return lambda value: column == str(value)


def _alike(column: Any) -> Match:
    """Compare without regard to letter case."""
    return lambda value: func.lower(column) == str(value).lower()


def _identified(column: Any) -> Match:
    """Compare ids. What is none belongs to nobody."""

    def match(value: Any) -> ColumnElement[bool]:
        try:
            return column == UUID(str(value))  # type: ignore[no-any-return]
        except ValueError:
            return sql.false()

    return match


def _addressed(value: Any) -> ColumnElement[bool]:
    """Compare the address of the account, which is that of work where there is one."""
    return ScimUserRow.user_id.in_(select(UserRow.user_id).where(UserRow.email == str(value).lower()))


def _is_active(value: Any) -> ColumnElement[bool]:
    return ScimUserRow.deactivated_at.is_(None) if flag("filter", value) else ScimUserRow.deactivated_at.is_not(None)


def _has_member(value: Any) -> ColumnElement[bool]:
    members = select(ScimGroupMemberRow.group_id).where(_identified(ScimGroupMemberRow.user_id)(value))
    return ScimGroupRow.group_id.in_(members)


_MANAGER = _same(ScimUserRow.attributes[(ENTERPRISE, "manager", "value")].astext)
_NUMBER = _same(ScimUserRow.attributes[(ENTERPRISE, "employeeNumber")].astext)

USERS: dict[str, Match] = {
    "id": _identified(ScimUserRow.user_id),
    "username": _alike(ScimUserRow.user_name),
    "externalid": _same(ScimUserRow.external_id),
    "displayname": _alike(ScimUserRow.attributes["displayName"].astext),
    "active": _is_active,
    "emails": _addressed,
    "emails.value": _addressed,
    'emails[type eq "work"].value': _addressed,
    "manager": _MANAGER,
    "manager.value": _MANAGER,
    "employeenumber": _NUMBER,
}
GROUPS: dict[str, Match] = {
    "id": _identified(ScimGroupRow.group_id),
    "displayname": _alike(ScimGroupRow.display_name),
    "externalid": _same(ScimGroupRow.external_id),
    "members": _has_member,
    "members.value": _has_member,
}
