"""An example for each route that changes something: what is sent, and which audit entry it leaves.

Whoever adds a route adds its line here; `tests/house/test_mutations_are_audited.py` fails until it is there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.application import applications, closing, keys, rotation
from app.provider import providers
from app.units import new_id, utc_now
from tests import people
from tests.factories import unique
from tests.tenancy.tenant import Tenant

Sent = Mapping[str, Any]
"""The form; what it has under `ids` replaces variables of the address."""


def _nothing(_tenant: Tenant) -> Sent:
    return {}


@dataclass(frozen=True, kw_only=True)
class Example:
    """One request. `form` prepares what it needs and says what is sent; `wrong` is a form that is answered 422."""

    action: str
    form: Callable[[Tenant], Sent] = _nothing
    wrong: Sent | None = None
    who: str = "owner"


def _new(**fields: Any) -> Callable[[Tenant], Sent]:
    """A creating form."""
    return lambda _tenant: {"name": unique("made"), "new_id": new_id()} | fields


def _account(**fields: Any) -> Sent:
    return {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"} | fields


def _deployment(tenant: Tenant) -> Sent:
    row = {"provider": tenant.ids["provider_id"], "upstream_model": "m", "weight": "1", "priority": "0"}
    return {"name": unique("model"), "new_id": new_id()} | row


def _key(tenant: Tenant) -> Sent:
    return {"name": unique("key"), "models": "*", "application": tenant.ids["application_id"], "new_id": new_id()}


def _rotation(tenant: Tenant) -> Sent:
    revision = keys.get(tenant.workspace_id, tenant.ids["key_id"]).revision
    return {"overlap": "1", "revision": revision}


def _rotated(tenant: Tenant) -> Sent:
    workspace_id, key_id = tenant.workspace_id, tenant.ids["key_id"]
    revision = keys.get(workspace_id, key_id).revision
    rotation.rotate(workspace_id, key_id, overlap=timedelta(hours=1), revision=revision, now=utc_now())
    return {}


def _archived_application(tenant: Tenant) -> Sent:
    applications.archive(tenant.workspace_id, tenant.ids["application_id"], now=utc_now())
    return {}


def _archived_workspace(tenant: Tenant) -> Sent:
    closing.archive(tenant.workspace_id, now=utc_now())
    return {}


def _unused_provider(tenant: Tenant) -> Sent:
    own = providers.save(tenant.workspace_id, unique("unused"), api_key="sk-upstream-0123456789", **_account())
    return {"ids": {"provider_id": own}}


def _somebody_with_a_password(_tenant: Tenant) -> Sent:
    return {"email": people.person(password=people.PASSWORD).email, "password": people.PASSWORD}


EXAMPLES = {
    "applications.create": Example(action="application.create", form=_new(), wrong={"name": "", "new_id": new_id()}),
    "applications.edit": Example(action="application.update", form=_new(cost_centre="42"), wrong={"name": "=1"}),
    "applications.archive": Example(action="application.archive"),
    "applications.restore": Example(action="application.revive", form=_archived_application),
    "keys.create": Example(action="key.create", form=_key, wrong={"name": "", "new_id": new_id()}),
    "keys.edit": Example(action="key.update", form=_key, wrong={"name": ""}),
    "keys.rotate": Example(action="key.rotate", form=_rotation, wrong={"overlap": "never"}),
    "keys.end_overlap": Example(action="key.end_overlap", form=_rotated),
    "keys.revoke": Example(action="key.revoke"),
    "members.invite": Example(
        action="invitation.create",
        form=_new(email="guest@corp.test", role="viewer"),
        wrong={"email": "nobody", "role": "viewer", "new_id": new_id()},
    ),
    "members.change_role": Example(action="member.update", form=_new(role="admin"), wrong={"role": "root"}),
    "members.remove": Example(action="member.delete"),
    "members.revoke": Example(action="invitation.delete"),
    "models.create": Example(action="model.create", form=_deployment, wrong={"name": "", "new_id": new_id()}),
    "models.edit": Example(action="model.update", form=_deployment, wrong={"name": ""}),
    "models.price": Example(action="price.update", form=_new(input="0.25"), wrong={"input": "cheap"}),
    "models.delete": Example(action="model.delete"),
    "providers.create": Example(
        action="provider.create",
        form=_new(**_account(), api_key="sk-upstream-0123456789"),
        wrong=_account(name="", new_id=new_id()),
    ),
    "providers.edit": Example(action="provider.update", form=_new(**_account()), wrong=_account(name="")),
    "providers.test": Example(action="provider.test"),
    "providers.delete": Example(action="provider.delete", form=_unused_provider),
    "settings.save": Example(
        action="workspace.update", form=_new(timezone="Asia/Kathmandu"), wrong={"name": "", "timezone": "UTC"}
    ),
    "sign_in.begin": Example(
        action="session.create",
        form=_somebody_with_a_password,
        wrong={"email": "a@b.test", "password": "x"},
        who="nobody",
    ),
    "sign_in.end": Example(action="session.delete"),
    "sign_in.accept": Example(
        action="invitation.accept",
        form=_new(password=people.PASSWORD),
        wrong={"name": "", "password": ""},
        who="nobody",
    ),
    "workspaces.create": Example(
        action="workspace.create",
        form=_new(timezone="UTC"),
        wrong={"name": "", "new_id": new_id()},
        who="platform admin",
    ),
    "workspaces.archive": Example(
        action="workspace.archive", form=lambda tenant: {"confirm": f"{tenant.word} workspace"}, wrong={"confirm": "no"}
    ),
    "workspaces.restore": Example(action="workspace.restore", form=_archived_workspace),
}
"""Endpoint → its example."""

CHANGE_NOTHING = {
    "style.act": "the samples of the development page",
    "style.choose_theme": "a cookie of the person's own browser",
}
"""Endpoint → why it leaves no entry."""
