"""Makes the platform's providers, models and prices what a file says."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from app.cli.entries import Config, ModelEntry, ProviderEntry
from app.cli.journal import Journal, difference
from app.cli.state import FILE, State
from app.model import models, price_book
from app.model.models import Deployment
from app.model.price_book import PRICED, Slot
from app.model.prices import STANDARD
from app.provider import providers
from app.provider.providers import TIMEOUTS, Provider
from app.units import PLATFORM_ID

Tiers = Mapping[Slot, Mapping[str, Decimal]]


def apply(config: Config, state: State, journal: Journal, *, now: datetime) -> None:
    """Save what the file has; a changed price counts from `now`."""
    for provider in config.providers:
        _save_provider(provider, state, journal)
    for model in config.models:
        _save_model(model, state, journal, now=now)


def prune(config: Config, state: State, journal: Journal) -> None:
    """Remove the file's own models and providers that it no longer has, unless something else uses them."""
    kept = {entry.name for entry in config.models}
    for name, model in state.models.items():
        if model.managed_by == FILE and name not in kept:
            models.delete(PLATFORM_ID, model.model_id)
            journal.did(f"delete model {name}: no longer in the file")
    used = {d.provider_id: model.name for model in models.all_of(PLATFORM_ID) for d in model.deployments}
    wanted = {entry.name for entry in config.providers}
    for name, provider in state.providers.items():
        if provider.managed_by != FILE or name in wanted:
            continue
        if provider.provider_id in used:
            journal.notes.append(f"provider {name} stays: model {used[provider.provider_id]}, made elsewhere, uses it")
        else:
            providers.delete(PLATFORM_ID, provider.provider_id)
            journal.did(f"delete provider {name}: no longer in the file")


def _save_provider(entry: ProviderEntry, state: State, journal: Journal) -> None:
    before = state.providers.get(entry.name)
    if before is None:
        journal.did(f"create provider {entry.name}")
    else:
        journal.did(f"update provider {entry.name}", _provider_differences(before, entry))
    providers.save(
        PLATFORM_ID,
        entry.name,
        kind=entry.kind,
        base_url=entry.base_url,
        api_key=entry.api_key,
        timeouts=entry.timeouts,
        managed_by=FILE,
    )


def _provider_differences(before: Provider, entry: ProviderEntry) -> list[str]:
    found = difference("kind", before.kind, entry.kind) + difference("base_url", before.base_url, entry.base_url)
    for name in TIMEOUTS:
        found += difference(name, before.timeouts.get(name), entry.timeouts.get(name))
    if not providers.holds(PLATFORM_ID, before.provider_id, entry.api_key):
        found.append("api_key changed")
    return found


def _save_model(entry: ModelEntry, state: State, journal: Journal, *, now: datetime) -> None:
    ids = {provider.name: provider.provider_id for provider in providers.all_of(PLATFORM_ID)}
    deployments = [
        Deployment(
            provider_id=ids[deployment.provider],
            upstream_model=deployment.model,
            weight=deployment.weight,
            priority=deployment.priority,
        )
        for deployment in entry.deployments
    ]
    before = state.models.get(entry.name)
    model_id = models.save(PLATFORM_ID, entry.name, deployments, managed_by=FILE)
    known = state.prices.get(model_id, {})
    for slot in {**known, **entry.every_price}:
        price_book.set_prices(PLATFORM_ID, model_id, entry.every_price.get(slot, {}), now=now, slot=slot)
    if before is None:
        journal.did(f"create model {entry.name}" + ("" if entry.price else " (unpriced)"))
        return
    names = {provider_id: name for name, provider_id in ids.items()}
    found = difference("deployments", _described(before.deployments, names), _described(deployments, names))
    found += _price_differences(known, entry.every_price)
    journal.did(f"update model {entry.name}", found)


def _described(deployments: Sequence[Deployment], names: Mapping[UUID, str]) -> list[str]:
    """Describe deployments in one order; what is as usual is not said."""
    found = []
    for deployment in deployments:
        share = f" weight {deployment.weight}" if deployment.weight != 1 else ""
        turn = f" priority {deployment.priority}" if deployment.priority else ""
        found.append(f"{names.get(deployment.provider_id, '?')}/{deployment.upstream_model}{share}{turn}")
    return sorted(found)


def _price_differences(before: Tiers, after: Tiers) -> list[str]:
    found = []
    for slot in sorted({**before, **after}):
        was, now = before.get(slot, {}), after.get(slot, {})
        for meter in PRICED:
            found += difference(f"price {_tier(slot)}{meter}", was.get(meter), now.get(meter))
    return found


def _tier(slot: Slot) -> str:
    """Name a tier before a meter; the standard one is not said."""
    tier = "" if slot.service_tier == STANDARD else f"{slot.service_tier} "
    return tier + (f"over {slot.context_over} " if slot.context_over else "")
