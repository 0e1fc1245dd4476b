"""The configuration file: its format, read strictly, every problem at once with its line.

    providers:  [{name, kind, base_url, api_key, timeouts: {connect_s, first_byte_s, idle_s, total_s}}]
    models:     [{name, deployments: [{provider, model, weight, priority}], price: {<meter>: "0.15"},
                  tiers: [{service_tier, context_over, price: {<meter>: "0.15"}}]}]
    workspaces: [{name, timezone, po_number, applications: [{name, cost_centre, keys: [
                    {name, secret, models, state, limits: {requests_per_min, tokens_per_min, parallel},
                     budget: {usd, period}, expires_at}]}]}]

`${NAME}` in a text comes from the environment, `$${` is the two signs themselves.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

from app.application import applications, keys, secrets
from app.application import limits as limit_rules
from app.application.limits import Limits
from app.cli.entries import (
    ApplicationEntry,
    Config,
    DeploymentEntry,
    KeyEntry,
    ModelEntry,
    NamedEntry,
    ProviderEntry,
    WorkspaceEntry,
)
from app.cli.yaml_fields import Fields, InvalidFile, Problem, Report, compose
from app.model import models as model_rules
from app.model import price_book
from app.model.price_book import STANDARD_LIST, Slot
from app.model.price_changes import LONGEST_CONTEXT
from app.model.prices import SERVICE_TIERS, STANDARD
from app.provider import providers
from app.units import zone
from app.workspace import names, workspaces

TOP = ("providers", "models", "workspaces")
PROVIDER = ("name", "kind", "base_url", "api_key", "timeouts")
MODEL = ("name", "deployments", "price", "tiers")
TIER = ("service_tier", "context_over", "price")
DEPLOYMENT = ("provider", "model", "weight", "priority")
WORKSPACE = ("name", "timezone", "po_number", "applications")
APPLICATION = ("name", "cost_centre", "keys")
KEY = ("name", "secret", "models", "state", "limits", "budget", "expires_at")
LIMITS = ("requests_per_min", "tokens_per_min", "parallel")
BUDGET = ("usd", "period")
STATES = ("active", "revoked")
MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?")


def read(text: str, variable: Callable[[str], str | None]) -> Config:
    """Read a file's text; raise `InvalidFile` when it is no YAML at all."""
    report = Report(variable)
    top = Fields(compose(text), "", report, TOP)
    config = Config(
        providers=tuple(_provider(fields) for fields in top.each("providers", PROVIDER)),
        models=tuple(_model(fields) for fields in top.each("models", MODEL)),
        workspaces=tuple(_workspace(fields) for fields in top.each("workspaces", WORKSPACE)),
    )
    if not top.names() and not report.problems:
        raise InvalidFile([Problem(1, "the file holds nothing; to remove everything, write `workspaces: []`")])
    _check_twice(config, report)
    return replace(config, problems=tuple(report.problems))


def _provider(fields: Fields) -> ProviderEntry:
    timeouts = fields.mapping("timeouts", providers.TIMEOUTS)
    seconds = {name: timeouts.number(name) for name in timeouts.names()} if timeouts else {}
    return ProviderEntry(
        line=fields.line,
        name=_name(fields),
        kind=_if_given(fields, "kind", providers.check_kind),
        base_url=_if_given(fields, "base_url", providers.check_base_url),
        api_key=fields.checked("api_key", providers.check_api_key, fields.text("api_key", "")),
        timeouts=fields.checked(
            "timeouts", providers.check_timeouts, {name: value for name, value in seconds.items() if value is not None}
        ),
    )


def _model(fields: Fields) -> ModelEntry:
    entries = tuple(_deployment(inner) for inner in fields.each("deployments", DEPLOYMENT))
    if not entries:
        fields.wrong("deployments", "needs at least one deployment")
    places = [(entry.provider, entry.model) for entry in entries]
    if len(set(places)) < len(places):
        fields.wrong("deployments", "name the same provider and model twice")
    price, tiers = _price(fields), _tiers(fields)
    return ModelEntry(line=fields.line, name=_name(fields), deployments=entries, price=price, tiers=tiers)


def _deployment(fields: Fields) -> DeploymentEntry:
    shares = {name: fields.whole(name, default) or 0 for name, default in (("weight", 1), ("priority", 0))}
    for name, value in shares.items():
        fields.checked(name, partial(model_rules.check_share, name), value)
    model = _if_given(fields, "model", partial(names.check_foreign, "model"))
    return DeploymentEntry(line=fields.line, provider=fields.text("provider"), model=model, **shares)


def _price(fields: Fields) -> dict[str, Decimal]:
    """Read the list price; no price at all is an unpriced model, which is not a free one."""
    inner = fields.mapping("price", price_book.PRICED)
    if inner is None:
        return {}
    if not inner.names():
        fields.wrong("price", 'names no meter; write {input: "0", output: "0"} for a free model')
    amounts = {meter: inner.money(meter) for meter in inner.names()}
    prices = {meter: amount for meter, amount in amounts.items() if amount is not None}
    for meter, amount in prices.items():
        inner.checked(meter, partial(price_book.check, meter), amount)
    return prices


def _tiers(fields: Fields) -> dict[Slot, dict[str, Decimal]]:
    """Read the prices of other service tiers and of calls with longer input; each tier stands there once."""
    found: dict[Slot, dict[str, Decimal]] = {}
    for inner in fields.each("tiers", TIER):
        tier, length = inner.text("service_tier", STANDARD), inner.whole("context_over", 0) or 0
        if tier not in SERVICE_TIERS:
            inner.wrong("service_tier", f"must be one of {', '.join(SERVICE_TIERS)}, not {tier!r}")
        if not 0 <= length <= LONGEST_CONTEXT:
            inner.wrong("context_over", f"must be from 0 to {LONGEST_CONTEXT} tokens")
        slot = Slot(service_tier=tier, context_over=length)
        if slot == STANDARD_LIST or slot in found:
            inner.wrong("service_tier", "and context_over name a tier that has its price elsewhere in this model")
        found[slot] = _price(inner)
        if not found[slot]:
            inner.wrong("price", "is missing")
    return found


def _workspace(fields: Fields) -> WorkspaceEntry:
    timezone = fields.text("timezone", "UTC")
    known = len(fields.report.problems)
    fields.checked("timezone", workspaces.check_timezone, timezone)
    in_zone = zone(timezone if len(fields.report.problems) == known else "UTC")
    entries = fields.each("applications", APPLICATION)
    name = _name(fields)
    return WorkspaceEntry(
        line=fields.line,
        name=name,
        timezone=timezone,
        po_number=_if_given(fields, "po_number", workspaces.check_po_number) if "po_number" in fields else None,
        applications=tuple(_application(inner, name, in_zone) for inner in entries),
    )


def _application(fields: Fields, workspace: str, in_zone: ZoneInfo) -> ApplicationEntry:
    name = _name(fields)
    return ApplicationEntry(
        line=fields.line,
        name=name,
        cost_centre=_if_given(fields, "cost_centre", applications.check_cost_centre, "") or None,
        keys=tuple(_key(inner, (workspace, name), in_zone) for inner in fields.each("keys", KEY)),
    )


def _key(fields: Fields, place: tuple[str, str], in_zone: ZoneInfo) -> KeyEntry:
    name = _name(fields)
    state = fields.text("state", "active")
    if state not in STATES:
        fields.wrong("state", f"must be {' or '.join(STATES)}, not {state!r}")
    secret = _if_given(fields, "secret", secrets.given) if "secret" in fields else None
    models = fields.texts("models")
    fields.checked("models", keys.check_models, models)
    return KeyEntry(
        line=fields.line,
        place=(*place, name),
        name=name,
        secret=secret,
        models=tuple(models),
        active=state == "active",
        limits=_limits(fields),
        expires_at=_instant(fields, "expires_at", in_zone),
    )


def _limits(fields: Fields) -> Limits:
    limits = Limits()
    inner, budget = fields.mapping("limits", LIMITS), fields.mapping("budget", BUDGET)
    if inner:
        limits = Limits(
            requests_per_min=inner.whole("requests_per_min"),
            tokens_per_min=inner.whole("tokens_per_min"),
            parallel=inner.whole("parallel"),
        )
        for name in inner.names():
            inner.checked(name, partial(limit_rules.check_count, name), getattr(limits, name))
    if budget:
        spend = Limits(budget_usd=budget.money("usd"), budget_period=budget.text("period") or None)
        if "usd" not in budget:
            budget.wrong("usd", "is missing")
        if spend.budget_usd is not None and spend.budget_period is not None:
            fields.checked("budget", limit_rules.check, spend)
        limits = replace(limits, budget_usd=spend.budget_usd, budget_period=spend.budget_period)
    return limits


def _instant(fields: Fields, name: str, in_zone: ZoneInfo) -> datetime | None:
    """Read a date (its first instant in the zone) or a time (in the zone unless it has an offset)."""
    text = fields.stamp(name)
    if text is None:
        return None
    with suppress(ValueError, OverflowError):
        if MOMENT.fullmatch(text):
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=in_zone)).astimezone(UTC)
    fields.wrong(name, f"must be like 2027-01-01 or 2027-01-01T10:00:00+01:00, not {text!r}")
    return None


def _name(fields: Fields) -> str:
    return _if_given(fields, "name", partial(names.check, "name"))


def _if_given(fields: Fields, name: str, check: Callable[[str], object], default: str | None = None) -> str:
    """Read text and have it checked, unless reading it found a problem already."""
    known = len(fields.report.problems)
    value = fields.text(name, default)
    if len(fields.report.problems) == known and name in fields:
        fields.checked(name, check, value)
    return value


def _check_twice(config: Config, report: Report) -> None:
    """Refuse two of the same name, and two keys of the same secret."""
    _unique(report, "provider", config.providers)
    _unique(report, "model", config.models)
    _unique(report, "workspace", config.workspaces)
    for workspace in config.workspaces:
        _unique(report, "application", workspace.applications)
        for application in workspace.applications:
            _unique(report, "key", application.keys)
    first: dict[str, KeyEntry] = {}
    for key in config.every_key():
        other = first.setdefault(key.secret, key) if key.secret else key
        if other is not key:
            text = f"key {key.path} has the secret of key {other.path} (line {other.line}); each needs its own"
            report.add(key.line, text)


def _unique(report: Report, noun: str, entries: Iterable[NamedEntry]) -> None:
    first: dict[str, int] = {}
    for entry in entries:
        if entry.name in first:
            report.add(entry.line, f"{noun} {entry.name!r} is on line {first[entry.name]} already")
        elif entry.name:
            first[entry.name] = entry.line
