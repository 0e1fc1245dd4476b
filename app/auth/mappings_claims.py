"""What is known of people's claims: the app roles and groups of their last sign-in, and the groups of provisioning."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import text

from app.auth.directory_tables import IdentityRow
from app.extensions import transaction
from app.units import PLATFORM_ID
from app.workspace.names import NotFound

SIGN_INS = """
    select i.user_id, i.provider_id, i.app_roles, i.groups
    from identity i join identity_provider p on p.provider_id = i.provider_id
    where p.disabled_at is null and i.user_id = any(:people)"""
# Who is provisioned and in no group has claims all the same: none, at this provider.
PROVISIONED = """
    select u.user_id, u.provider_id, '{}'::text[],
           array_remove(array_agg(g.external_id) || array_agg(g.group_id::text), null)
    from scim_user u join identity_provider p on p.provider_id = u.provider_id
    left join scim_group_member m on m.user_id = u.user_id
    left join scim_group g on g.group_id = m.group_id and g.provider_id = u.provider_id
    where p.disabled_at is null and u.deleted_at is null and u.user_id = any(:people)
    group by u.user_id, u.provider_id"""
WHO_HAS = """
    select user_id from identity where app_roles && cast(:app_roles as text[]) or groups && cast(:groups as text[])
    union
    select m.user_id from scim_group_member m join scim_group g on g.group_id = m.group_id
    where g.group_id::text = any(:groups) or g.external_id = any(:groups) or lower(g.external_id) = any(:groups)"""


@dataclass(frozen=True, slots=True)
class Claims:
    """What one identity provider says of a person."""

    provider_id: UUID
    app_roles: frozenset[str]
    groups: frozenset[str]

    @classmethod
    def of(cls, provider_id: UUID, app_roles: Iterable[str], groups: Iterable[str]) -> "Claims":
        """Take claims as they come; groups named by id are compared without regard to letter case."""
        return cls(provider_id, frozenset(app_roles), frozenset(map(normal_group, groups)))

    def meet(self, kind: str, value: str) -> bool:
        """Tell whether a mapping of this kind and value is about this person."""
        return value in (self.app_roles if kind == "app_role" else self.groups)


def normal_group(value: str) -> str:
    """Write a group's id as a directory does, in small letters; a group's name stays as it is."""
    try:
        return str(UUID(value)) if len(value) == 36 else value
    except ValueError:
        return value


def seen(tenant: str, subject: str, *, app_roles: Collection[str], groups: Collection[str]) -> None:
    """Keep what an identity's sign-in has just said, for the next dry run; raise `NotFound` for an unknown one."""
    mine = (IdentityRow.tenant == tenant, IdentityRow.subject == subject)
    values = {"app_roles": sorted(set(app_roles)), "groups": sorted(set(map(normal_group, groups)))}
    with transaction(PLATFORM_ID) as session:
        found = session.execute(sql.update(IdentityRow).where(*mine).values(**values).returning(IdentityRow.user_id))
        if found.first() is None:
            raise NotFound("there is no such identity")


def known(user_ids: Collection[UUID]) -> dict[UUID, list[Claims]]:
    """Read what the enabled providers last said of these people; nobody who is unknown to all of them is here."""
    found: dict[UUID, list[Claims]] = defaultdict(list)
    with transaction(PLATFORM_ID) as session:
        for statement in (SIGN_INS, PROVISIONED):
            for user_id, provider_id, app_roles, groups in session.execute(text(statement), {"people": list(user_ids)}):
                found[user_id].append(Claims.of(provider_id, app_roles, groups))
    return found


def who_has(app_roles: Collection[str], groups: Collection[str]) -> set[UUID]:
    """Find the people of whom any provider says one of these."""
    asked = {"app_roles": list(app_roles), "groups": list(groups)}
    with transaction(PLATFORM_ID) as session:
        return set(session.scalars(text(WHO_HAS), asked))
