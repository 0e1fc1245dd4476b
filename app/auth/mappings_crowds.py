"""Has the mapped roles of many people follow at once, when provisioning changes a group: as `mappings.sync` does for one.

What is read takes a few statements however many they are; only who gains or loses something costs more.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.auth import mappings_claims, mappings_effects, mappings_platform
from app.auth.mappings_claims import Claims
from app.auth.mappings_rules import highest
from app.auth.tables import UserRow
from app.extensions import transaction
from app.units import PLATFORM_ID
from app.workspace import mapped_roles

MEMBERSHIPS = text("""
    select one.person, m.workspace_id, m.mapped_role
    from unnest(cast(:people as uuid[])) as one(person), memberships_of(one.person) m where m.mapped_role is not null""")

Roles = dict[UUID, str]
"""The roles by mapping of one person, by workspace."""


def sync(user_ids: Collection[UUID]) -> None:
    """Give people exactly the roles that their last known claims give. Who has no account is left out."""
    with transaction(PLATFORM_ID) as session:
        session.execute(select(func.pg_advisory_xact_lock_shared(mappings_effects.LOCK)))
        people = _lock(session, user_ids)
        before, after = _now(session, people), _wanted(list(people))
        moved: dict[UUID, dict[UUID, str | None]] = defaultdict(dict)
        for user_id in people:
            for place in {*before[user_id], *after[user_id]}:
                if before[user_id].get(place) != after[user_id].get(place):
                    moved[place][user_id] = after[user_id].get(place)
        for place in sorted(moved):
            _put(place, moved[place], people)


def _lock(session: Session, user_ids: Collection[UUID]) -> dict[UUID, UserRow]:
    statement = select(UserRow).where(UserRow.user_id.in_(user_ids)).order_by(UserRow.user_id)
    statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
    return {row.user_id: row for row in session.scalars(statement)}


def _now(session: Session, people: Mapping[UUID, UserRow]) -> dict[UUID, Roles]:
    """Read what mappings give to these people at present."""
    found: dict[UUID, Roles] = defaultdict(dict)
    for user_id, workspace_id, role in session.execute(MEMBERSHIPS, {"people": list(people)}):
        found[user_id][workspace_id] = role
    for user_id, row in people.items():
        if row.mapped_platform_role:
            found[user_id][PLATFORM_ID] = row.mapped_platform_role
    return found


def _wanted(user_ids: Collection[UUID]) -> dict[UUID, Roles]:
    """Tell what the claims of these people give; those of the same claims are looked up once."""
    given: dict[Claims, Roles] = {}
    found: dict[UUID, Roles] = defaultdict(dict)
    for user_id, claims in mappings_claims.known(user_ids).items():
        for one in claims:
            if one not in given:
                about = {"app_roles": one.app_roles, "groups": one.groups}
                given[one] = mappings_effects.roles_for(one.provider_id, **about)
            for place, role in given[one].items():
                found[user_id][place] = highest(place, found[user_id].get(place), role) or role
    return found


def _put(place: UUID, roles: Mapping[UUID, str | None], people: Mapping[UUID, UserRow]) -> None:
    names = {user_id: people[user_id].email for user_id in roles}
    with transaction(place):
        for user_id in sorted(roles):
            if place == PLATFORM_ID:
                mappings_platform.put(user_id, roles[user_id], name=names[user_id])
            else:
                mapped_roles.put(place, user_id, roles[user_id], name=names[user_id])
