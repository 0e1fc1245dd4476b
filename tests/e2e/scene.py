"""A company's workspace after two busy weeks, for pictures: names that people give, calls as working days have them."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from app.application import applications, keys
from app.billing.events import UsageEvent, encode, stream_key
from app.model import models, price_book
from app.provider import providers
from app.units import bucket_of, bucket_tag, utc_now
from app.workspace import workspaces
from tests import people
from tests.billing.books import event_id
from tests.gateway_process import Gateway, eventually
from tests.people import Person

DAYS = 14
CALLS_AN_HOUR = 14
MODELS = {
    "gpt-4o-mini": ("openai", "0.15", "0.60"),
    "gpt-4o": ("openai", "2.50", "10.00"),
    "mistral-small": ("mistral", "0.10", "0.30"),
    "deepseek-chat": ("deepseek", "0.27", "1.10"),
}
APPLICATIONS = {
    "Support chatbot": ("4711", ("production", "staging")),
    "Contract search": ("2040", ("production",)),
    "Meeting notes": ("3310", ("production", "canary")),
    "Code review": ("1200", ("ci",)),
}
PEOPLE = {"Grete Hermann": "admin", "Amalie Noether": "developer", "Hedwig Kohn": "billing", "Lise Meitner": "viewer"}
BUSY = [1, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 10, 8, 10, 12, 11, 9, 6, 4, 3, 2, 2, 1, 1]
"""How busy each hour of the day is."""


@dataclass(frozen=True)
class Scene:
    workspace_id: UUID
    owner: Person


@dataclass(frozen=True)
class _Model:
    model_id: UUID
    deployment_id: UUID
    name: str
    provider: str


def build(gateway: Gateway, name: str) -> Scene:
    """Make the workspace and let the worker take its calls into the ledger."""
    with gateway.services():
        workspace_id = workspaces.create(name, timezone="Europe/Berlin")
        owner = people.member(workspace_id, "owner", name="Mary Somerville")
        for person, role in PEOPLE.items():
            people.member(workspace_id, role, name=person)
        callers = _applications(workspace_id)
        called = _models(workspace_id)
    _call(gateway, workspace_id, callers, called)
    return Scene(workspace_id, owner)


def _applications(workspace_id: UUID) -> list[tuple[UUID, UUID]]:
    """Applications with their keys: pairs of ids."""
    made = []
    for name, (cost_centre, key_names) in APPLICATIONS.items():
        application_id = applications.create(workspace_id, name, cost_centre=cost_centre)
        for key in key_names:
            limits = keys.Limits(requests_per_min=600 if key == "production" else 60)
            made.append(
                (application_id, keys.create(workspace_id, application_id, key, models=["*"], limits=limits).key_id)
            )
    return made


def _models(workspace_id: UUID) -> list[_Model]:
    made, accounts = [], {}
    for name, (provider, input_price, output_price) in MODELS.items():
        if provider not in accounts:
            secret = f"sk-{provider}-0123456789abcdef"
            base_url = f"https://api.{provider}.example/v1"
            accounts[provider] = providers.save(
                workspace_id, provider, kind=provider, base_url=base_url, api_key=secret
            )
        deployment = models.Deployment(provider_id=accounts[provider], upstream_model=name)
        model_id = models.save(workspace_id, name, [deployment])
        prices = {"input": Decimal(input_price), "output": Decimal(output_price)}
        price_book.set_prices(workspace_id, model_id, prices, now=utc_now())
        made.append(_Model(model_id, _deployment_of(workspace_id, model_id), name, provider))
    return made


def _deployment_of(workspace_id: UUID, model_id: UUID) -> UUID:
    from sqlalchemy import text

    from app.extensions import transaction

    with transaction(workspace_id) as session:
        found = session.execute(text("select deployment_id from deployment where model_id = :id"), {"id": model_id})
        return UUID(str(found.scalar_one()))


def _call(gateway: Gateway, workspace_id: UUID, callers: list[tuple[UUID, UUID]], called: list[_Model]) -> None:
    """Put the calls of the last days into the usage stream, always the same ones."""
    chance = random.Random(20261125)
    now = utc_now()
    events = [
        _event(chance, workspace_id, chance.choice(callers), chance.choice(called), at)
        for hours in range(DAYS * 24)
        for at in _moments(chance, now - timedelta(hours=hours))
    ]
    pipeline = gateway.redis.pipeline(transaction=False)
    for event in sorted(events, key=lambda event: event.event_id):
        pipeline.xadd(stream_key(bucket_tag(bucket_of(workspace_id))), {"e": encode(event)})
    pipeline.execute()
    count = "select count(*) as calls from usage_event where workspace_id = %s"
    eventually(lambda: gateway.sql(count, workspace_id)[0]["calls"] == len(events), 60)


def _moments(chance: random.Random, end: datetime) -> list[datetime]:
    """When calls came in the hour before `end`: fewer at night and at weekends."""
    busy = CALLS_AN_HOUR * BUSY[end.hour] / 12 * (0.3 if end.weekday() > 4 else 1)
    moments = [end - timedelta(seconds=chance.randrange(3600)) for _ in range(round(busy * chance.uniform(0.6, 1.3)))]
    return [moment.replace(microsecond=0) for moment in moments]


def _event(
    chance: random.Random, workspace_id: UUID, caller: tuple[UUID, UUID], model: _Model, at: datetime
) -> UsageEvent:
    failed = chance.random() < 0.02
    meters = {} if failed else {"input": chance.randrange(200, 6000), "output": chance.randrange(50, 1500)}
    return UsageEvent(
        event_id=event_id(at),
        workspace_id=workspace_id,
        application_id=caller[0],
        key_id=caller[1],
        model_id=model.model_id,
        alias=model.name,
        deployment_id=model.deployment_id,
        provider=model.provider,
        upstream_model=model.name,
        outcome="upstream_error" if failed else "done",
        error_code="provider_timeout" if failed else None,
        http_status=504 if failed else 200,
        billable=not failed,
        usage_source="none" if failed else "reported",
        meters=meters,
        latency_ms=chance.randrange(400, 6000),
        first_byte_ms=chance.randrange(150, 900),
    )
