"""What mappings do to people: which roles claims give, who would gain or lose by a change, and giving and taking them.

A change of mappings and a sign-in exclude each other by one lock of the database, so that neither works on what
the other is about to change; sign-ins of different people go on beside each other.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from uuid import UUID

from sqlalchemy import func, select, text

from app.auth import mappings_claims, mappings_platform, mappings_rules, users
from app.auth.directory_tables import IdentityProviderRow
from app.auth.mappings_claims import Claims
from app.auth.mappings_rules import Rule, highest
from app.auth.tables import UserRow
from app.extensions import transaction
from app.units import PLATFORM_ID
from app.workspace import mapped_roles
from app.workspace.mapped_roles import Standing
from app.workspace.names import NotFound

LOCK = 7_405_118_830_265_561_409
"""The advisory lock of mappings; any number that nothing else locks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of one person in one place: his role, and the part of it that mappings give.

    `kept`: mappings give it no more, but he is the last owner (of the platform: admin), and stays it.
    """

    workspace_id: UUID
    user_id: UUID
    before: str | None
    after: str | None
    mapped: str | None
    kept: bool = False

    @property
    def gains(self) -> bool:
        """Tell whether the role afterwards is a higher one."""
        return self.before != self.after == highest(self.workspace_id, self.before, self.after)

    @property
    def loses(self) -> bool:
        """Tell whether the role afterwards is a lower one, or none."""
        return self.before != self.after and not self.gains


def roles_for(provider_id: UUID, *, app_roles: Collection[str], groups: Collection[str]) -> dict[UUID, str]:
    """Tell which roles claims give, the highest for each workspace; under PLATFORM_ID the one of the platform.

    A provider whose accounts are 'default' gives everybody its default role. A disabled one gives nothing.
    """
    return _roles([Claims.of(provider_id, app_roles, groups)])


def roles_of(user_id: UUID) -> dict[UUID, str]:
    """Tell which roles the last known claims of a person give, those of all enabled providers taken together."""
    return _roles(mappings_claims.known([user_id]).get(user_id, []))


def sync(user_id: UUID) -> list[Change]:
    """Give a person exactly what his last known claims give. Raise `NotFound` when there is no such account."""
    with transaction(PLATFORM_ID):
        _begin(user_id)
        return apply(user_id, roles_of(user_id))


def apply(user_id: UUID, roles: Mapping[UUID, str]) -> list[Change]:
    """Give a person exactly these roles by mapping, in one transaction over the workspaces; tell what became of him.

    What he was given by hand stays, and so does the last owner. Raise `NotFound` when there is no such account.
    """
    with transaction(PLATFORM_ID):
        person = _begin(user_id)
        now = mapped_roles.of_person(user_id)
        now[PLATFORM_ID] = Standing(person.granted_platform_role, person.mapped_platform_role)
        places = sorted({*now, *roles})
        changes = [_change(place, user_id, now.get(place, Standing()), roles.get(place)) for place in places]
        return [_put(one, name=person.email) for one in changes if one]


def preview(workspace_id: UUID, proposed: Sequence[Rule]) -> list[Change]:
    """Tell what would become of everybody if a place had exactly these rules; the order is the one of giving them.

    It is about people who have been here: whoever comes later gets his role when he comes.
    """
    with transaction(workspace_id):
        now = mappings_platform.standings() if workspace_id == PLATFORM_ID else mapped_roles.of_workspace(workspace_id)
        people = _meant(proposed) | {user_id for user_id, standing in now.items() if standing.mapped}
        given = _roles_by_person(workspace_id, proposed, people)
        found = (_change(workspace_id, who, now.get(who, Standing()), given.get(who)) for who in sorted(people))
        changes = sorted((one for one in found if one), key=lambda one: one.loses)
        return list(_with_kept(changes, _top_people(workspace_id, now)))


def digest(changes: Sequence[Change]) -> str:
    """Put a dry run into a word, by which one tells whether it still holds."""
    return sha256(repr(changes).encode()).hexdigest()[:32]


def spread(changes: Iterable[Change]) -> None:
    """Do what a dry run has said."""
    changes = list(changes)
    people = users.of([one.user_id for one in changes])
    for one in changes:
        _put(one, name=people[one.user_id].email, reason="the mappings were changed")


def begin_change() -> None:
    """Wait until no sign-in gives roles, and have those that come wait until the transaction ends."""
    with transaction(PLATFORM_ID) as session:
        session.execute(select(func.pg_advisory_xact_lock(LOCK)))


def _begin(user_id: UUID) -> UserRow:
    """Wait for a running change of the mappings, and for another sign-in of the same person."""
    with transaction(PLATFORM_ID) as session:
        session.execute(select(func.pg_advisory_xact_lock_shared(LOCK)))
        # Of this strength, since others may make rows that refer to him meanwhile.
        person = session.get(UserRow, user_id, populate_existing=True, with_for_update={"key_share": True})
        if person is None:
            raise NotFound(f"there is no account {user_id}")
        return person


def _roles(claims: Collection[Claims]) -> dict[UUID, str]:
    """Collect what claims give everywhere."""
    found: dict[UUID, str] = {}
    for one in claims:
        for place, role in _given(one):
            found[place] = highest(place, found.get(place), role) or role
    return found


def _given(claims: Claims) -> Iterator[tuple[UUID, str]]:
    statement = text("select workspace_id, kind, value, role from role_mappings_of(:provider)")
    with transaction(PLATFORM_ID) as session:
        provider = session.get(IdentityProviderRow, claims.provider_id)
        if provider is None or provider.disabled_at is not None:
            return
        if provider.default_workspace_id and provider.default_role:
            yield provider.default_workspace_id, provider.default_role
        for place, kind, value, role in session.execute(statement, {"provider": claims.provider_id}):
            if claims.meet(kind, value):
                yield place, role


def _roles_by_person(workspace_id: UUID, rules: Sequence[Rule], people: Collection[UUID]) -> dict[UUID, str | None]:
    """Tell what these rules would give to each of these people in this place."""
    defaults = {one.provider_id: one.gives for one in mappings_rules.directories(workspace_id)}
    found: dict[UUID, str | None] = {}
    for user_id, claims in mappings_claims.known(people).items():
        roles = [rule.role for one in claims for rule in rules if rule.is_about(one)]
        found[user_id] = highest(workspace_id, *roles, *(defaults.get(one.provider_id) for one in claims))
    return found


def _meant(rules: Sequence[Rule]) -> set[UUID]:
    values = {kind: [rule.value for rule in rules if rule.kind == kind] for kind in mappings_rules.KINDS}
    return mappings_claims.who_has(values["app_role"], values["group"])


def _change(workspace_id: UUID, user_id: UUID, now: Standing, mapped: str | None) -> Change | None:
    if now.mapped == mapped:
        return None
    before, after = highest(workspace_id, now.granted, now.mapped), highest(workspace_id, now.granted, mapped)
    return Change(workspace_id=workspace_id, user_id=user_id, before=before, after=after, mapped=mapped)


def _top_people(workspace_id: UUID, now: Mapping[UUID, Standing]) -> set[UUID]:
    """Who has the role that a place must not be without."""
    if workspace_id == PLATFORM_ID:
        return set(mappings_platform.admins())
    return {user_id for user_id, standing in now.items() if "owner" in (standing.granted, standing.mapped)}


def _with_kept(changes: Iterable[Change], top_people: set[UUID]) -> Iterator[Change]:
    """Let the last one of those at the top stay there, as giving the roles one by one does."""
    for one in changes:
        top = mappings_rules.roles_in(one.workspace_id)[0]
        if one.before == top != one.after and top_people == {one.user_id}:
            yield replace(one, after=one.before, kept=True)
            continue
        if one.after == top:
            top_people.add(one.user_id)
        else:
            top_people.discard(one.user_id)
        yield one


def _put(change: Change, *, name: str, reason: str | None = None) -> Change:
    if change.workspace_id == PLATFORM_ID:
        done = mappings_platform.put(change.user_id, change.mapped, name=name, reason=reason)
    else:
        done = mapped_roles.put(change.workspace_id, change.user_id, change.mapped, name=name, reason=reason)
    return change if done else replace(change, after=change.before, kept=True)
