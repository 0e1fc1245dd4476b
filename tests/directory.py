"""A directory for tests: an identity provider, and what it says of people; works in the app context that is pushed."""

from uuid import UUID

import sqlalchemy as sql

from app.auth import mappings
from app.auth.directory_tables import (
    IdentityProviderRow,
    IdentityRow,
    ScimGroupMemberRow,
    ScimGroupRow,
    ScimUserRow,
)
from app.auth.mappings import Rule
from app.extensions import transaction
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace.members import By
from tests import people
from tests.factories import unique
from tests.people import Person

TENANT = "9f4e7c1a-0000-4000-8000-00000000beef"


def provider(**columns: object) -> UUID:
    """Register an Entra ID tenant where people sign in."""
    own = new_id()
    about = {"name": unique("directory"), "kind": "entra", "authority": "https://localhost:1", "tenant": TENANT}
    with transaction(PLATFORM_ID) as session:
        session.add(IdentityProviderRow(**{"provider_id": own, "client_id": "client"} | about | columns))
    return own


def disable(provider_id: UUID) -> None:
    """Close a provider: nobody signs in with it any more."""
    mine = IdentityProviderRow.provider_id == provider_id
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.update(IdentityProviderRow).where(mine).values(disabled_at=utc_now()))


def identify(provider_id: UUID, user_id: UUID) -> None:
    """Link an account to an identity that has not signed in."""
    with transaction(PLATFORM_ID) as session:
        session.add(IdentityRow(tenant=TENANT, subject=str(user_id), provider_id=provider_id, user_id=user_id))


def arrive(user_id: UUID, *, app_roles: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> list[mappings.Change]:
    """Sign an identified person in: what his token says, and the roles that follow."""
    mappings.seen(TENANT, str(user_id), app_roles=app_roles, groups=groups)
    return mappings.sync(user_id)


def newcomer(provider_id: UUID, *, name: str = "Somebody", **claims: tuple[str, ...]) -> Person:
    """Make an account that has come by the provider, with these claims."""
    made = people.person(name=name)
    identify(provider_id, made.user_id)
    arrive(made.user_id, **claims)
    return made


def provisioned_group(provider_id: UUID, *user_ids: UUID, external_id: str | None = None) -> UUID:
    """Provision a group with these people, as SCIM does."""
    own = new_id()
    group = ScimGroupRow(group_id=own, provider_id=provider_id, external_id=external_id, display_name=unique("group"))
    with transaction(PLATFORM_ID) as session:
        session.add(group)
        session.add_all(
            ScimUserRow(provider_id=provider_id, user_id=user_id, user_name=str(user_id)) for user_id in user_ids
        )
        session.flush()
        session.add_all(ScimGroupMemberRow(group_id=own, user_id=user_id) for user_id in user_ids)
    return own


def by(role: str = "owner") -> By:
    """Somebody new who acts with a role."""
    return By(user_id=people.person().user_id, role=role)


def mapping(workspace_id: UUID, provider_id: UUID, value: str, role: str, *, kind: str = "app_role") -> UUID:
    """Make a mapping as an owner does."""
    own = new_id()
    rule = Rule(provider_id=provider_id, kind=kind, value=value, role=role)
    mappings.add(workspace_id, rule, by=by(), mapping_id=own)
    return own
