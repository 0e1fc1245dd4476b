"""An example for each route that changes something: what is sent, and which audit entry it leaves.

Whoever adds a route adds its line here; `tests/console/test_mutations_are_audited.py` fails until it is there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.application import applications, closing, keys, rotation
from app.auth import deactivation, mappings, passwords, policy, sessions, sign_in, totp, users
from app.auth.mappings import Rule
from app.billing import closing as month_closing
from app.billing import export_schedules
from app.extensions import transaction
from app.model import catalogue_import, models
from app.provider import providers
from app.units import PLATFORM_ID, new_id, utc_now
from tests import directory, people, second_factor
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


def _registration() -> Sent:
    return {"name": unique("directory"), "kind": "entra", "tenant": str(new_id()), "client_id": "1", "accounts": "off"}


def _disabled_directory(tenant: Tenant) -> Sent:
    directory.disable(tenant.ids["identity_provider_id"])
    return {}


def _somebody_with_a_password(_tenant: Tenant) -> Sent:
    return {"email": people.person(password=people.PASSWORD).email, "password": people.PASSWORD}


def _the_sender() -> UUID:
    """Whoever sends the form: nobody has signed in since."""
    statement = text("select user_id from console_session order by created_at desc limit 1")
    with transaction(PLATFORM_ID) as session:
        return UUID(str(session.scalars(statement).one()))


def _with_a_password() -> UUID:
    """Give the sender a password."""
    own = _the_sender()
    users.set_password_hash(own, passwords.hash_of(people.PASSWORD))
    return own


def _another_session(_tenant: Tenant) -> Sent:
    own = _the_sender()
    people.sign_in(own, "")
    return {"ids": {"session_id": sessions.of(own, now=utc_now())[0].session_id}}


def _new_password(_tenant: Tenant) -> Sent:
    _with_a_password()
    return {"current_password": people.PASSWORD, "new_password": "another-password-for-tests"}


def _own_password(_tenant: Tenant) -> Sent:
    _with_a_password()
    return {"password": people.PASSWORD}


def _first_code(_tenant: Tenant) -> Sent:
    own = _with_a_password()
    totp.begin(own)
    waiting = totp.pending(own)
    assert waiting
    return {"code": second_factor.code(waiting.secret)}


def _password_and_code(_tenant: Tenant) -> Sent:
    secret = second_factor.enrol(_with_a_password())
    return {"password": people.PASSWORD, "code": second_factor.code(secret)}


def _second_step(_tenant: Tenant) -> Sent:
    person = people.person(password=people.PASSWORD)
    secret = second_factor.enrol(person.user_id)
    try:
        sign_in.with_password(person.email, people.PASSWORD, ip="127.0.0.1", user_agent="tests", now=utc_now())
    except sign_in.CodeNeeded as needed:
        return {"ticket": needed.ticket, "code": second_factor.code(secret)}
    raise AssertionError("no code was asked for")


def _disabled_person(tenant: Tenant) -> Sent:
    people.person(platform_role="admin")
    deactivation.deactivate(tenant.ids["user_id"])
    return {}


def _tested_by_the_sender(_tenant: Tenant) -> Sent:
    own = _with_a_password()
    second_factor.enrol(own)
    directory.provider(tested_by=own, tested_at=utc_now())
    return {}


def _required(tenant: Tenant) -> Sent:
    _tested_by_the_sender(tenant)
    policy.require_sso(_the_sender(), now=utc_now())
    return {}


def _seen_mapping(place: UUID, *, role: str) -> Sent:
    """A mapping that somebody has seen as a dry run."""
    rule = Rule(provider_id=directory.provider(), kind="group", value=unique("group"), role=role)
    shown = mappings.digest(mappings.preview(place, mappings.proposed(place, rule)))
    fields = {"provider": rule.provider_id, "kind": rule.kind, "value": rule.value, "role": role, "shown": shown}
    return fields | {"new_id": new_id()}


def _seen_removal(place: UUID) -> Sent:
    return {"shown": mappings.digest(mappings.preview(place, mappings.proposed(place, None)))}


def _budget(_tenant: Tenant) -> Sent:
    rule = {"name": unique("budget"), "limit": "10", "thresholds": "50, 100", "action": "block"}
    return rule | {"about": "workspace", "period": "month", "new_id": new_id()}


def _channel(_tenant: Tenant) -> Sent:
    about = {"kind": "webhook", "target": "https://hooks.example.test/gateway", "events": "budget", "enabled": "yes"}
    return {"name": unique("channel"), "new_id": new_id()} | about


def _failed_delivery(tenant: Tenant) -> Sent:
    with transaction(tenant.workspace_id) as session:
        session.execute(text("update delivery set state = 'failed'"))
    return {}


def _listed(tenant: Tenant) -> Sent:
    """A model that the bundled list knows and the book has no price of."""
    deployment = models.Deployment(provider_id=tenant.ids["provider_id"], upstream_model="gpt-4o-mini")
    models.save(tenant.workspace_id, unique("listed"), [deployment])
    return {"chosen": [one.mark for one in catalogue_import.preview(tenant.workspace_id, now=utc_now())]}


def _tokens(_tenant: Tenant) -> Sent:
    issuer = f"{directory.provider(token_audience='api://gateway')}/{directory.TENANT}"
    about = {"issuer": issuer, "claim": "app_role", "value": "Models.Call"}
    return {"name": unique("tokens"), "models": "*", "new_id": new_id()} | about


def _finished_dry_run(tenant: Tenant) -> Sent:
    """What the worker makes of a dry run that finds a difference."""
    with transaction(tenant.workspace_id) as session:
        session.execute(text("update rating_run set state = 'done', calls_done = 1"))
    return {"new_id": new_id()}


def _month(_tenant: Tenant) -> Sent:
    """A month that has ended and is open."""
    return {"month": "2026-01"}


def _drafted(tenant: Tenant) -> Sent:
    month_closing.draft(tenant.workspace_id, date(2026, 1, 1), now=utc_now())
    return _month(tenant)


def _closed(tenant: Tenant) -> Sent:
    form = _drafted(tenant)
    month_closing.close(tenant.workspace_id, date(2026, 1, 1), now=utc_now())
    return form


def _export(_tenant: Tenant) -> Sent:
    return {"kind": "daily", "format": "jsonl", "from": "2026-01-01", "to": "2026-01-31", "new_id": new_id()}


def _paused(tenant: Tenant) -> Sent:
    export_schedules.set_enabled(tenant.workspace_id, tenant.ids["schedule_id"], False, now=utc_now())
    return {}


EXAMPLES = {
    "account.end_session": Example(action="session.delete", form=_another_session),
    "account.end_others": Example(action="session.delete", form=lambda tenant: _another_session(tenant) and {}),
    "account.change_password": Example(
        action="password.update", form=_new_password, wrong={"current_password": "", "new_password": ""}
    ),
    "account.begin_two_factor": Example(action="two_factor.begin", form=_own_password, wrong={"password": ""}),
    "account.confirm_two_factor": Example(action="two_factor.confirm", form=_first_code),
    "account.turn_off_two_factor": Example(
        action="two_factor.delete", form=_password_and_code, wrong={"password": "", "code": ""}
    ),
    "applications.create": Example(action="application.create", form=_new(), wrong={"name": "", "new_id": new_id()}),
    "applications.edit": Example(action="application.update", form=_new(cost_centre="42"), wrong={"name": "=1"}),
    "applications.archive": Example(action="application.archive"),
    "applications.restore": Example(action="application.revive", form=_archived_application),
    "budgets.create": Example(action="budget.create", form=_budget, wrong={"limit": "much", "new_id": new_id()}),
    "budgets.edit": Example(action="budget.update", form=_budget, wrong={"limit": "much"}),
    "budgets.archive": Example(action="budget.archive"),
    "channels.create": Example(action="channel.create", form=_channel, wrong={"name": "", "new_id": new_id()}),
    "channels.edit": Example(action="channel.update", form=_channel, wrong={"name": ""}),
    "channels.test": Example(action="channel.test"),
    "channels.renew_secret": Example(action="channel.renew_secret"),
    "channels.remove": Example(action="channel.delete"),
    "deliveries.replay": Example(action="delivery.replay", form=_failed_delivery),
    "exports.create": Example(
        action="export.create", form=_export, wrong={"kind": "calls", "from": "", "to": "", "new_id": new_id()}
    ),
    "exports.cancel": Example(action="export.cancel"),
    "exports.again": Example(action="export.create"),
    "exports.pause": Example(action="export_schedule.update"),
    "exports.resume": Example(action="export_schedule.update", form=_paused),
    "exports.delete": Example(action="export_schedule.delete"),
    "identity_providers.create": Example(
        action="identity_provider.create",
        form=lambda _tenant: _registration() | {"new_id": new_id()},
        wrong={"name": "", "new_id": new_id()},
        who="platform admin",
    ),
    "identity_providers.edit": Example(
        action="identity_provider.update",
        form=lambda _tenant: _registration(),
        wrong={"name": ""},
        who="platform admin",
    ),
    "identity_providers.disable": Example(action="identity_provider.disable", who="platform admin"),
    "identity_providers.enable": Example(
        action="identity_provider.enable", form=_disabled_directory, who="platform admin"
    ),
    "keys.create": Example(action="key.create", form=_key, wrong={"name": "", "new_id": new_id()}),
    "keys.edit": Example(action="key.update", form=_key, wrong={"name": ""}),
    "keys.rotate": Example(action="key.rotate", form=_rotation, wrong={"overlap": "never"}),
    "keys.end_overlap": Example(action="key.end_overlap", form=_rotated),
    "keys.revoke": Example(action="key.revoke"),
    "local_sign_in.begin": Example(
        action="session.create",
        form=_somebody_with_a_password,
        wrong={"email": "a@b.test", "password": "x"},
        who="nobody",
    ),
    "local_sign_in.give_code": Example(
        action="session.create", form=_second_step, wrong={"ticket": "", "code": "123456"}, who="nobody"
    ),
    "mappings.create": Example(
        action="mapping.create",
        form=lambda tenant: _seen_mapping(tenant.workspace_id, role="developer"),
        wrong={"role": "root", "new_id": new_id()},
    ),
    "mappings.edit": Example(
        action="mapping.update",
        form=lambda tenant: _seen_mapping(tenant.workspace_id, role="developer"),
        wrong={"role": "root"},
    ),
    "mappings.remove": Example(action="mapping.delete", form=lambda tenant: _seen_removal(tenant.workspace_id)),
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
    "prices.change": Example(
        action="price.update", form=_new(input="0.25", since="2026-11-01T00:00"), wrong={"input": "cheap"}
    ),
    "price_terms.change": Example(
        action="price.update",
        form=_new(kind="contract", input="0.25"),
        wrong={"kind": "gift", "input": "1"},
        who="platform admin",
    ),
    "price_terms.adjust": Example(
        action="adjustment.update", form=_new(factor="0.9"), wrong={"factor": "half"}, who="platform admin"
    ),
    "price_import.take": Example(action="catalogue.import", form=_listed, wrong={"chosen": "old"}),
    "people.disable": Example(action="account.disable", who="platform admin"),
    "people.enable": Example(action="account.enable", form=_disabled_person, who="platform admin"),
    "people.end_sessions": Example(action="session.delete", who="platform admin"),
    "periods.draft": Example(action="period.draft", form=_month, wrong={"month": "2099-01"}),
    "periods.withdraw": Example(action="period.withdraw", form=_drafted, wrong={"month": "2026-01"}),
    "periods.close": Example(action="period.close", form=_drafted, wrong={"month": "2026-01"}),
    "periods.reopen": Example(
        action="period.reopen",
        form=lambda tenant: _closed(tenant) | {"reason": "a mistake"},
        wrong={"month": "2026-01", "reason": ""},
        who="platform admin",
    ),
    "periods.credit": Example(
        action="credit.create",
        form=_new(month="2026-01", amount="12.5", reason="kindness"),
        wrong={"month": "2026-01", "amount": "", "new_id": new_id()},
        who="platform admin",
    ),
    "periods.save_po_number": Example(
        action="workspace.update", form=_new(po_number="PO 42"), wrong={"po_number": "=1"}
    ),
    "platform_mappings.create": Example(
        action="mapping.create",
        form=lambda _tenant: _seen_mapping(PLATFORM_ID, role="auditor"),
        wrong={"role": "owner", "new_id": new_id()},
        who="platform admin",
    ),
    "platform_mappings.edit": Example(
        action="mapping.update",
        form=lambda _tenant: _seen_mapping(PLATFORM_ID, role="auditor"),
        wrong={"role": "owner"},
        who="platform admin",
    ),
    "platform_mappings.remove": Example(
        action="mapping.delete", form=lambda _tenant: _seen_removal(PLATFORM_ID), who="platform admin"
    ),
    "providers.create": Example(
        action="provider.create",
        form=_new(**_account(), api_key="sk-upstream-0123456789"),
        wrong=_account(name="", new_id=new_id()),
    ),
    "providers.edit": Example(action="provider.update", form=_new(**_account()), wrong=_account(name="")),
    "providers.test": Example(action="provider.test"),
    "providers.delete": Example(action="provider.delete", form=_unused_provider),
    "provisioning.create": Example(
        action="scim_token.create", form=lambda _tenant: {"new_id": new_id()}, who="platform admin"
    ),
    "provisioning.revoke": Example(action="scim_token.revoke", who="platform admin"),
    "recompute.create": Example(
        action="rating.dry_run",
        form=_new(**{"from": "2026-03-01", "to": "2026-03-31", "model": "", "reason": "a new price"}),
        wrong={"from": "never", "to": "2026-03-31", "model": "", "reason": "", "new_id": new_id()},
    ),
    "recompute.apply": Example(action="rating.apply", form=_finished_dry_run, wrong={"new_id": new_id()}),
    "recompute.cancel": Example(action="rating.cancel"),
    "require_sso.require": Example(action="sign_in_policy.update", form=_tested_by_the_sender, who="platform admin"),
    "require_sso.lift": Example(action="sign_in_policy.update", form=_required, who="platform admin"),
    "settings.save": Example(
        action="workspace.update", form=_new(timezone="Asia/Kathmandu"), wrong={"name": "", "timezone": "UTC"}
    ),
    "settings.save_networks": Example(
        action="workspace.update", form=_new(networks="127.0.0.0/8"), wrong={"networks": "nowhere"}
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
    "workload_tokens.create": Example(action="key.create", form=_tokens, wrong={"name": "", "new_id": new_id()}),
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
