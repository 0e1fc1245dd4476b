"""Takes prices of the bundled list into the book: first a preview of what would change, then what was chosen of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

from app.logging import audit
from app.model import catalogue_seed, models, price_book
from app.model.catalogue_seed import SeedModel
from app.model.models import Model
from app.model.price_book import Slot
from app.provider import providers
from app.workspace.names import Invalid

Tiers = dict[Slot, dict[str, Decimal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What the list says of a model, where that is not what the book says. `rounded`: the list has more decimals than the book."""

    model_id: UUID
    name: str
    before: Tiers
    after: Tiers
    rounded: bool

    @property
    def mark(self) -> str:
        """What a form carries of it: another mark means that something has changed since the preview."""
        return sha256(repr((self.model_id, _ordered(self.before), _ordered(self.after))).encode()).hexdigest()[:16]


def preview(workspace_id: UUID, *, now: datetime) -> list[Proposal]:
    """Compare the own models with the bundled list, by name; those served by several upstream models are left out."""
    kinds = {one.provider_id: one.kind for one in providers.all_of(workspace_id)}
    current = price_book.current_tiers(workspace_id)
    seeds: dict[str, Mapping[str, SeedModel]] = {}
    found = []
    for model in models.all_of(workspace_id):
        seed = _seed_of(model, kinds, seeds, now)
        before = current.get(model.model_id, {})
        if seed and seed.tiers() and seed.tiers() != before:
            found.append(
                Proposal(
                    model_id=model.model_id, name=model.name, before=before, after=seed.tiers(), rounded=seed.rounded
                )
            )
    return found


def take(workspace_id: UUID, marks: Collection[str], *, now: datetime) -> list[str]:
    """Set the chosen proposals' prices from now on; answer the models' names. Raises `Invalid` when one has changed since."""
    with price_book.held(workspace_id):
        chosen = [one for one in preview(workspace_id, now=now) if one.mark in marks]
        if not chosen or len(chosen) < len(set(marks)):
            raise Invalid("chosen", "are not what the list says now; look at the preview again")
        for one in chosen:
            for slot in {**one.before, **one.after}:
                price_book.set_prices(workspace_id, one.model_id, one.after.get(slot, {}), now=now, slot=slot)
        names = [one.name for one in chosen]
        audit.record("catalogue.import", kind="price", id=workspace_id, name="bundled list", after={"models": names})
        return names


def _seed_of(
    model: Model, kinds: Mapping[UUID, str], seeds: dict[str, Mapping[str, SeedModel]], now: datetime
) -> SeedModel | None:
    """Find a model in the list; None for one that a file manages, that is not listed, or that two upstreams serve differently."""
    served = {(kinds.get(one.provider_id, ""), one.upstream_model) for one in model.deployments}
    if model.managed_by == "file" or len(served) != 1:
        return None
    ((kind, upstream_model),) = served
    if kind not in seeds:
        seeds[kind] = {one.upstream_model: one for one in catalogue_seed.chat_models(kind, now=now)}
    return seeds[kind].get(upstream_model)


def _ordered(tiers: Tiers) -> list[tuple[Slot, list[tuple[str, str]]]]:
    return sorted(
        (slot, sorted((m, str(price.normalize())) for m, price in prices.items())) for slot, prices in tiers.items()
    )
