"""What the browser's pages show: a workspace with people, keys and calls, made once by services and real calls."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from app.application import workload_keys
from app.application.tokens import Token
from app.auth import totp
from app.auth.permissions import ROLES
from app.billing import closing, export_orders, export_schedules, export_what, periods, rating_runs
from app.logging import entries
from app.units import new_id, utc_now
from app.workspace import budget_rules, budgets, channels, invitations, workspaces
from app.workspace.members import By
from tests import directory, people
from tests.factories import Key, make_key, unique
from tests.gateway_process import Gateway
from tests.people import Person
from tests.upstream import Upstream

CALLS = 3
IDS = ("workspace_id", "application_id", "key_id", "model_id", "provider_id")


@dataclass(frozen=True)
class Stage:
    """`people` has somebody of each role, the platform's two and a newcomer; `ids` what stands in addresses."""

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
        crowd["newcomer"] = _newcomer()
        by = By(user_id=crowd["owner"].user_id, role="owner")
        token = invitations.create(key.workspace_id, "guest@example.test", "viewer", by=by, now=utc_now())
        ids = {name: getattr(key, name) for name in IDS}
        ids |= {"person_id": crowd["viewer"].user_id, "token": token, "empty_id": workspaces.create(unique("empty"))}
        ids |= _mapped(key.workspace_id)
        ids |= _watched(key.workspace_id)
        ids |= _exported(key.workspace_id)
        ids |= _billed(key.workspace_id)
        ids["token_key_id"] = _token(key, ids["directory_id"])
        ids["audit_id"] = entries.listed(key.workspace_id, entries.Wanted(), after=None, limit=1)[0].audit_id
    for _ in range(CALLS):
        assert key.chat().status_code == 200
    gateway.settled(CALLS, key)
    return Stage(gateway, upstream, key, crowd, ids)


def _mapped(workspace_id: UUID) -> dict[str, object]:
    """A directory, a mapping of it, somebody who has a role by it, and somebody to whom another would give one."""
    entra = directory.provider(name=unique("Corp directory"), token_audience="api://gateway")
    own = directory.mapping(workspace_id, entra, "builders", "developer", kind="group")
    directory.newcomer(entra, name="Somebody mapped", groups=("builders",))
    directory.newcomer(entra, name="Somebody else", groups=("guests",))
    return {"directory_id": entra, "mapping_id": own}


def _exported(workspace_id: UUID) -> dict[str, object]:
    """An export that waits, and a schedule."""
    day, own = date(2026, 11, 1), new_id()
    order = export_what.What(kind="calls", first=day, last=day)
    export_orders.place(workspace_id, order, export_id=own, as_of=utc_now(), by=None)
    options: dict[str, Any] = {"schedule_id": new_id(), "by": new_id(), "now": utc_now()}
    export_schedules.create(workspace_id, "daily", order, "day", **options)
    return {"export_id": own}


def _billed(workspace_id: UUID) -> dict[str, object]:
    """A dry run of two days, and the statement of a month that is closed."""
    now, run_id = utc_now(), new_id()
    rating_runs.try_out(workspace_id, now - timedelta(days=1), now + timedelta(days=1), "new prices", run_id=run_id)
    month = periods.before(periods.running(workspace_id, now))
    closing.draft(workspace_id, month, now=now)
    return {"run_id": run_id, "statement_id": closing.close(workspace_id, month, now=now).statement_id}


def _watched(workspace_id: UUID) -> dict[str, object]:
    """A budget, and a channel that is off with a delivery on its way."""
    rule = budget_rules.Rule(name="budget", limit_usd=Decimal(1))
    budget_id, channel_id = new_id(), new_id()
    budgets.create(workspace_id, rule, scope="workspace", scope_id=None, period="month", budget_id=budget_id, by=None)
    wish = channels.Wish(name="channel", target="https://hooks.example.test/gateway", events=("budget",))
    channels.create(workspace_id, "webhook", wish, channel_id=channel_id, by=None)
    channels.test(workspace_id, channel_id)
    off = channels.Wish(name=wish.name, target=wish.target, events=wish.events, enabled=False)
    channels.edit(workspace_id, channel_id, off)
    return {"budget_id": budget_id, "channel_id": channel_id}


def _newcomer() -> Person:
    """Somebody with a password who is setting up the second factor."""
    made = people.person(name="Some newcomer", password=people.PASSWORD)
    totp.begin(made.user_id)
    return made


def _token(key: Key, provider_id: Any) -> UUID:
    """A key for which tokens stand."""
    token = Token(provider_id=provider_id, tenant=directory.TENANT, claim="app_role", value="Models.Call")
    application_id = cast(UUID, key.application_id)
    return workload_keys.create(key.workspace_id, application_id, "nightly jobs", token, models=["*"])
