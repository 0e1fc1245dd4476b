"""What the browser's pages show: a workspace with people, keys and calls, made once by services and real calls."""

from dataclasses import dataclass
from uuid import UUID

from app.auth.permissions import ROLES
from app.logging import entries
from app.units import utc_now
from app.workspace import invitations, workspaces
from app.workspace.members import By
from tests import people
from tests.factories import Key, make_key, unique
from tests.gateway_process import Gateway
from tests.people import Person
from tests.upstream import Upstream

CALLS = 3
IDS = ("workspace_id", "application_id", "key_id", "model_id", "provider_id")


@dataclass(frozen=True)
class Stage:
    """`people` has somebody of each role, and the platform's two; `ids` what stands in addresses."""

    gateway: Gateway
    upstream: Upstream
    key: Key
    people: dict[str, Person]
    ids: dict[str, object]

    @property
    def workspace_id(self) -> UUID:
        return self.key.workspace_id

    def path(self, rest: str = "") -> str:
        """The address of one of the workspace's pages."""
        return f"/w/{self.workspace_id}/{rest}"

    def fresh(self, role: str = "owner") -> Person:
        """Somebody new, whose session a test may end."""
        with self.gateway.services():
            return people.member(self.workspace_id, role)

    def end_sessions_of(self, person: Person) -> None:
        """Have the server forget somebody's sessions; the browser keeps its cookie."""
        self.gateway.sql("delete from console_session where user_id = %s", person.user_id)


def set_up(gateway: Gateway) -> Stage:
    """Make the workspace and let it call."""
    upstream = Upstream()
    key = make_key(gateway, upstream)
    with gateway.services():
        crowd = {role: people.member(key.workspace_id, role, name=f"Some {role}") for role in ROLES}
        crowd |= {f"platform {role}": people.person(platform_role=role) for role in ("admin", "auditor")}
        by = By(user_id=crowd["owner"].user_id, role="owner")
        token = invitations.create(key.workspace_id, "guest@example.test", "viewer", by=by, now=utc_now())
        ids = {name: getattr(key, name) for name in IDS}
        ids |= {"token": token, "empty_id": workspaces.create(unique("empty"))}
        ids["audit_id"] = entries.listed(key.workspace_id, entries.Wanted(), after=None, limit=1)[0].audit_id
    for _ in range(CALLS):
        assert key.chat().status_code == 200
    gateway.settled(CALLS, key)
    return Stage(gateway, upstream, key, crowd, ids)
