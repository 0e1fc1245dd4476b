"""A workspace whose calls differ in every dimension: what any question about usage is tried on."""

import random
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from app.application import applications, keys
from app.model import models, price_book
from app.units import new_id, utc_now
from app.workspace import workspaces
from tests import people
from tests.billing.books import NOON, Books, call
from tests.factories import P_STD, make_provider, unique

KINDS = (
    {},
    {},
    {},
    {"outcome": "timeout"},
    {"outcome": "client_gone"},
    {"state": "provisional", "outcome": "unsettled"},
    {"usage_source": "estimated"},
)


@dataclass(frozen=True)
class Scene:
    """`facts` says of each application and key what is known beside the call: cost centre, tag and owner."""

    workspace_id: UUID
    facts: dict[UUID, tuple[str, ...]]


def many_sided(books: Books, calls: int = 120) -> Scene:
    """Make applications with and without cost centre and tag, keys with and without owner, and calls of all kinds."""
    workspace_id = workspaces.create(unique("sides"), timezone="Asia/Kathmandu")
    dice = random.Random(9)
    provider_id = make_provider(workspace_id, "http://127.0.0.1:1/v1")
    owner = people.member(workspace_id, "developer")
    priced = models.save(workspace_id, "priced", [models.Deployment(provider_id=provider_id, upstream_model="up")])
    price_book.set_prices(workspace_id, priced, dict(P_STD), now=utc_now())
    facts: dict[UUID, tuple[str, ...]] = {}
    places = []
    for name, centre, tags in (
        ("one", "CC-1", {"team": "red"}),
        ("two", "CC-1", {"team": "blue"}),
        ("three", None, {}),
    ):
        application_id = applications.create(workspace_id, name, cost_centre=centre, tags=tags)
        facts[application_id] = (centre or "", tags.get("team", ""))
        for owner_id in (owner.user_id, None):
            key = keys.create(workspace_id, application_id, unique("key"), models=["*"], owner_id=owner_id)
            facts[key.key_id] = (str(owner_id or UUID(int=0)),)
            places.append((application_id, key.key_id))
    unpriced = new_id()
    for _ in range(calls):
        application_id, key_id = dice.choice(places)
        model_id, alias, provider = dice.choice(
            ((priced, "priced", "p1"), (priced, "old name", "p2"), (unpriced, "u", "p1"))
        )
        at = NOON + timedelta(minutes=dice.randrange(-2000, 2000))
        ids = {"application_id": application_id, "key_id": key_id, "model_id": model_id}
        meters = {"input": dice.randrange(1, 3_000), "output": dice.randrange(50)}
        books.put(call(workspace_id, at=at, alias=alias, provider=provider, meters=meters, **ids, **dice.choice(KINDS)))
    books.take()
    return Scene(workspace_id, facts)


def total_cost(rows: list[dict[str, object]]) -> Decimal:
    """Add up what rows of the ledger were billed."""
    return sum((Decimal(str(row["billed_cost"] or 0)) for row in rows), Decimal(0))
