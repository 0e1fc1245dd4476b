"""Roles by mapping: whoever has an app role, or is in a group, has a role in a workspace, or one of the platform.

The highest wins, and what somebody was given by hand stays beside it. Whoever signs somebody in keeps what the
token says (`seen`) and then has the roles follow (`sync`), as provisioning does when groups have changed. A change
of mappings is a dry run (`preview`) that is carried out at once for those who have been here before.
"""

from collections import abc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from app.auth import mappings_effects, mappings_rules
from app.auth.directory_tables import RoleMappingRow
from app.auth.mappings_claims import Claims, known, seen
from app.auth.mappings_effects import Change, apply, digest, preview, roles_for, roles_of, sync
from app.auth.mappings_rules import (
    KINDS,
    Directory,
    Mapping,
    Rule,
    check,
    check_may,
    check_only_one,
    directories,
    get,
    of,
    roles_in,
)
from app.extensions import transaction
from app.logging import audit
from app.units import new_id
from app.workspace.members import By

__all__ = [
    "KINDS",
    "Change",
    "Directory",
    "Mapping",
    "Outdated",
    "Rule",
    "Source",
    "add",
    "apply",
    "change",
    "check",
    "check_may",
    "check_only_one",
    "digest",
    "directories",
    "get",
    "of",
    "preview",
    "proposed",
    "remove",
    "roles_for",
    "roles_in",
    "roles_of",
    "seen",
    "sources",
    "sync",
]


class Outdated(Exception):
    """The dry run that was shown is no longer what would happen."""


@dataclass(frozen=True, slots=True)
class Source:
    """Why somebody has a role by mapping: a mapping, or else the provider whose people all have it.

    Neither: nothing gives it any more. He keeps it as the last owner, or until he signs in next.
    """

    mapping: Mapping | None = None
    everybody_of: Directory | None = None


def add(
    workspace_id: UUID, rule: Rule, *, by: By, mapping_id: UUID | None = None, shown: str | None = None
) -> list[Change]:
    """Make a mapping and give the roles; one that has the id stays. Raise `Invalid`, `NotAllowed`, or `Outdated`.

    `shown` is the digest of the dry run that somebody has seen.
    """
    own = mapping_id or new_id()
    with transaction(workspace_id) as session:
        mappings_effects.begin_change()
        if session.get(RoleMappingRow, (workspace_id, own)):
            return []
        rule = mappings_rules.check(workspace_id, rule, by=by)
        mappings_rules.check_only_one(workspace_id, rule)
        row = RoleMappingRow(workspace_id=workspace_id, mapping_id=own, created_by=by.user_id)
        mappings_rules.fill(row, rule)
        session.add(row)
        session.flush()
        _record("create", own, rule, after=_fields(rule))
        return _carry_out(workspace_id, shown)


def change(workspace_id: UUID, mapping_id: UUID, rule: Rule, *, by: By, shown: str | None = None) -> list[Change]:
    """Put another rule in a mapping's place and give the roles; raise as `add` does, and `NotFound`."""
    with transaction(workspace_id) as session:
        mappings_effects.begin_change()
        row = mappings_rules.row_of(session, workspace_id, mapping_id)
        before = mappings_rules.rule_of(row)
        mappings_rules.check_may(workspace_id, before, by=by)
        rule = mappings_rules.check(workspace_id, rule, by=by)
        mappings_rules.check_only_one(workspace_id, rule, besides=mapping_id)
        mappings_rules.fill(row, rule)
        session.flush()
        _record("update", mapping_id, rule, before=_fields(before), after=_fields(rule))
        return _carry_out(workspace_id, shown)


def remove(workspace_id: UUID, mapping_id: UUID, *, by: By, shown: str | None = None) -> list[Change]:
    """Take a mapping away, and the roles that it gave; raise `NotFound`, `NotAllowed` or `Outdated`."""
    with transaction(workspace_id) as session:
        mappings_effects.begin_change()
        row = mappings_rules.row_of(session, workspace_id, mapping_id)
        rule = mappings_rules.rule_of(row)
        mappings_rules.check_may(workspace_id, rule, by=by)
        session.delete(row)
        session.flush()
        _record("delete", mapping_id, rule, before=_fields(rule))
        return _carry_out(workspace_id, shown)


def proposed(workspace_id: UUID, rule: Rule | None, *, instead_of: UUID | None = None) -> list[Rule]:
    """The rules of a place with one more, or with one in another's place; None: without it."""
    stay = [one.rule for one in of(workspace_id) if one.mapping_id != instead_of]
    return [*stay, rule] if rule else stay


def sources(workspace_id: UUID, mapped: abc.Mapping[UUID, str]) -> dict[UUID, Source]:
    """Tell for each of these people, and the role that he has by mapping, what gives it to him."""
    here, there = of(workspace_id), directories(workspace_id)
    claims = known(list(mapped))
    return {user_id: _source(role, claims.get(user_id, []), here, there) for user_id, role in mapped.items()}


def _source(role: str, claims: Sequence[Claims], here: Sequence[Mapping], there: Sequence[Directory]) -> Source:
    for one in here:
        if one.rule.role == role and any(one.rule.is_about(claim) for claim in claims):
            return Source(mapping=one)
    mine = {claim.provider_id for claim in claims}
    return Source(everybody_of=next((one for one in there if one.provider_id in mine and one.gives == role), None))


def _carry_out(workspace_id: UUID, shown: str | None) -> list[Change]:
    """Have the roles follow the mappings as they stand now."""
    changes = preview(workspace_id, proposed(workspace_id, None))
    if shown is not None and shown != digest(changes):
        raise Outdated
    mappings_effects.spread(changes)
    return changes


def _record(verb: str, mapping_id: UUID, rule: Rule, **fields: dict[str, Any]) -> None:
    before, after = fields.get("before"), fields.get("after")
    audit.record(f"mapping.{verb}", kind="mapping", id=mapping_id, name=rule.value, before=before, after=after)


def _fields(rule: Rule) -> dict[str, Any]:
    return asdict(rule)
