"""The bundled price list: which chat models an upstream has, and what they cost. Read offline.

A model is taken when it answers chat requests: not deprecated, priced for output or not at all,
and none of `OTHER_KINDS` is a word of its name. OpenRouter's names always hold a slash, and its
`:batch` ones take no chat requests.

A price is taken when our book says exactly what it says, tiers by the length of the input included.
What it cannot say (prices by the time of day, searches that a model does by itself) leaves the model unpriced, which is
a state with a queue, where a wrong price would be a wrong bill. Searches and files hosted upstream
are no tokens; what they cost is on nobody's meter here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import Range

from app.extensions import transaction
from app.logging import audit
from app.model.price_book import DEAREST, DECIMALS, Slot
from app.model.tables import DeploymentRow, ModelRow, PriceRow
from app.units import new_id
from app.workspace import names, revisions
from app.workspace.names import Invalid

LISTED_AS = {"xai": "x-ai"}
"""Upstreams that the list knows by another name than we do."""

METERS = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
}
HOSTED_TOOLS = frozenset({"web_searches_kcount", "storage_searches_kcount"})
OTHER_KINDS = frozenset(
    [
        "ada",
        "audio",
        "babbage",
        "batch",
        "computer",
        "curie",
        "davinci",
        "embed",
        "embedding",
        "ft",
        "image",
        "live",
        "lyria",
        "moderation",
        "ocr",
        "orpheus",
        "realtime",
        "transcribe",
        "tts",
        "voice",
        "voxtral",
        "whisper",
    ]
)
SEARCHES_BY_ITSELF = frozenset({"search", "sonar", "research"})
COMPLETION_ONLY = frozenset({"gpt-3.5-turbo-instruct"})
SMALLEST = Decimal(1).scaleb(-DECIMALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedModel:
    """A chat model of an upstream. `prices` is dollars per million tokens by meter; empty is unpriced.

    `longer` has those of calls whose input is more than so many tokens.
    """

    upstream_model: str
    prices: dict[str, Decimal]
    longer: dict[int, dict[str, Decimal]] = field(default_factory=dict)
    rounded: bool = False

    def tiers(self) -> dict[Slot, dict[str, Decimal]]:
        """Lay its prices out as the price book has them."""
        found = {0: self.prices, **self.longer}
        return {Slot(context_over=length): prices for length, prices in found.items() if prices}


def chat_models(provider: str, *, now: datetime) -> list[SeedModel]:
    """List the chat models of an upstream with the prices of `now`; none for one that the list does not know."""
    # Loading the list takes half a second and tens of megabytes that a web process never needs.
    from genai_prices.data import providers

    listed = next((found for found in providers if found.id == LISTED_AS.get(provider, provider)), None)
    seeds: dict[str, SeedModel] = {}
    for model in listed.models if listed else ():
        upstream_model = _name_upstream(model)
        if upstream_model and _answers_chat(provider, upstream_model, model):
            seeds.setdefault(upstream_model, _seed(upstream_model, model, now))
    return list(seeds.values())


def plant(workspace_id: UUID, provider_id: UUID, prefix: str, seeds: Sequence[SeedModel]) -> list[SeedModel]:
    """Add the models as aliases `prefix/model`, all in three statements; give those that were new."""
    with transaction(workspace_id) as session:
        taken = set(session.scalars(select(ModelRow.name).where(ModelRow.workspace_id == workspace_id)))
        fresh = {new_id(): seed for seed in seeds if f"{prefix}/{seed.upstream_model}" not in taken}
        if not fresh:
            return []
        own = {"workspace_id": workspace_id}
        aliases = [
            own | {"model_id": model_id, "name": f"{prefix}/{seed.upstream_model}"} for model_id, seed in fresh.items()
        ]
        serving = [
            own | {"model_id": model_id, "provider_id": provider_id, "upstream_model": seed.upstream_model}
            for model_id, seed in fresh.items()
        ]
        prices = [
            own
            | {"subject_id": model_id, "meter": meter, "unit_price": price, "valid": Range(None, None)}
            | {"context_over": slot.context_over}
            for model_id, seed in fresh.items()
            for slot, listed in seed.tiers().items()
            for meter, price in listed.items()
        ]
        for row, values in ((ModelRow, aliases), (DeploymentRow, serving), (PriceRow, prices)):
            if values:
                session.execute(insert(row), values)
        revisions.bump_catalogue()
        after = {"models": [alias["name"] for alias in aliases]}
        audit.record("catalogue.import", kind="provider", id=provider_id, name=prefix, after=after)
    return list(fresh.values())


def _name_upstream(model: Any) -> str | None:
    """Find the name that requests use: the list's own when the model answers to it, else its first alias."""
    if model.is_match(model.id):
        return str(model.id)
    clauses = getattr(model.match, "or_", [model.match])
    return next((str(clause.equals) for clause in clauses if hasattr(clause, "equals")), None)


def _answers_chat(provider: str, name: str, model: Any) -> bool:
    words = set(re.split(r"[-_./:]", name.lower()))
    if model.deprecated or words & OTHER_KINDS or name in COMPLETION_ONLY or name.endswith("-"):
        return False
    if provider == "openrouter" and "/" not in name:
        return False
    try:
        names.check_foreign("model", name)
    except Invalid:
        return False
    priced = [set(vars(price)) for price in _prices(model) if vars(price)]
    return all("output_mtok" in meters for meters in priced)


def _prices(model: Any) -> Iterable[Any]:
    if isinstance(model.prices, list):
        return [conditional.prices for conditional in model.prices]
    return [model.prices]


def _seed(upstream_model: str, model: Any, now: datetime) -> SeedModel:
    by_the_clock = isinstance(model.prices, list) and any(
        hasattr(conditional.constraint, "start_time") for conditional in model.prices
    )
    searching = set(re.split(r"[-_./:]", upstream_model)) & SEARCHES_BY_ITSELF
    if by_the_clock or searching:
        return SeedModel(upstream_model=upstream_model, prices={})
    listed = {key: price for key, price in vars(model.get_prices(now)).items() if price is not None}
    exact = {METERS.get(key, ""): price for key, price in listed.items() if key not in HOSTED_TOOLS}
    by_length = {length: _at(exact, length) for length in _lengths(exact.values())}
    if "" in exact or not all(_can_be_said(price) for prices in by_length.values() for price in prices.values()):
        return SeedModel(upstream_model=upstream_model, prices={})
    said = {
        length: {meter: price.quantize(SMALLEST, ROUND_HALF_EVEN) for meter, price in prices.items()}
        for length, prices in by_length.items()
    }
    prices = said.pop(0)
    rounded = {0: prices, **said} != by_length
    return SeedModel(upstream_model=upstream_model, prices=prices, longer=said, rounded=rounded)


def _lengths(prices: Iterable[Any]) -> list[int]:
    """List the input lengths above which any price is another: 0, and where the list's tiers begin."""
    return sorted({0} | {tier.start for price in prices for tier in getattr(price, "tiers", ())})


def _at(prices: Mapping[str, Any], length: int) -> dict[str, Any]:
    """Take the prices of calls whose input is more than `length`; beyond 0, only those that have a tier."""
    found = {}
    for meter, price in prices.items():
        begun = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= length]
        if begun and length:
            found[meter] = begun[-1]
        elif not length:
            found[meter] = getattr(price, "base", price)
    return found


def _can_be_said(price: object) -> bool:
    """Tell whether one row of our book holds it: one amount, and not one that rounds to free."""
    if not isinstance(price, Decimal) or not 0 <= price <= DEAREST:
        return False
    return price == 0 or price.quantize(SMALLEST, ROUND_HALF_EVEN) > 0
