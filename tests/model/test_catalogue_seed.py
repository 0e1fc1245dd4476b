import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.model import catalogue_seed, models, price_book
from app.provider import providers
from app.units import PLATFORM_ID
from app.wire.usage import METERS
from app.workspace import revisions

pytestmark = pytest.mark.usefixtures("app")

NOW = datetime(2026, 11, 1, tzinfo=UTC)
VENDORS = ("openai", "mistral", "groq", "deepseek", "xai", "openrouter")


def seeds(provider):
    return {seed.upstream_model: seed for seed in catalogue_seed.chat_models(provider, now=NOW)}


@pytest.mark.parametrize("provider", VENDORS)
def test_each_vendor_has_chat_models_with_prices_our_book_takes(provider):
    found = seeds(provider)

    assert found
    assert any(seed.prices for seed in found.values())
    for seed in found.values():
        assert set(seed.prices) <= set(METERS)
        for meter, amount in seed.prices.items():
            price_book.check(meter, amount)


def test_a_plain_price_is_copied():
    assert {"input": Decimal("0.15"), "cache_read": Decimal("0.075"), "output": Decimal("0.6")} == seeds("openai")[
        "gpt-4o-mini"
    ].prices


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("deepseek", "deepseek-chat"),
        ("openai", "gpt-4o-search-preview"),
        ("mistral", "mistral-nemo:free"),
    ],
    ids=["time of day", "searches by itself", "not in the list"],
)
def test_a_price_that_one_row_cannot_say_leaves_the_model_unpriced(provider, model):
    assert seeds(provider)[model].prices == {}


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "text-embedding-3-small"),
        ("openai", "whisper-1"),
        ("openai", "gpt-image-1"),
        ("openai", "tts-1"),
        ("openai", "davinci"),
        ("openai", "gpt-realtime"),
        ("mistral", "mistral-embed"),
        ("mistral", "devstral-2512"),
        ("openrouter", "claude-2"),
        ("openrouter", "anthropic/claude-opus-4.5:batch"),
    ],
)
def test_what_answers_no_chat_request_or_is_deprecated_is_left_out(provider, model):
    assert model not in seeds(provider)


def test_a_price_with_more_decimals_is_rounded_half_even_and_says_so():
    seed = seeds("openrouter")["google/gemini-2.5-flash"]

    assert seed.rounded
    assert Decimal("0.083333") == seed.prices["cache_write_5m"]


def test_a_vendor_that_the_list_does_not_know_has_no_models():
    assert seeds("nobody") == {}


def test_hundreds_of_models_are_planted_at_once_and_only_once():
    provider_id = providers.save(PLATFORM_ID, "openrouter", kind="openrouter", base_url="https://stub", api_key="k")
    found, before, since = list(seeds("openrouter").values()), revisions.current(), time.monotonic()

    made = catalogue_seed.plant(PLATFORM_ID, provider_id, "openrouter", found)
    took_s = time.monotonic() - since
    again = catalogue_seed.plant(PLATFORM_ID, provider_id, "openrouter", found)

    assert (len(found), 0) == (len(made), len(again))
    assert len(found) > 300
    assert took_s < 10
    assert (before[0] + 1, before[1]) == revisions.current()


def test_a_planted_model_can_be_asked_for_by_provider_and_name():
    provider_id = providers.save(PLATFORM_ID, "openrouter", kind="openrouter", base_url="https://stub", api_key="k")
    catalogue_seed.plant(PLATFORM_ID, provider_id, "openrouter", list(seeds("openrouter").values()))

    model = models.by_name(PLATFORM_ID, "openrouter/openai/gpt-4o-mini")

    assert model.deployments[0].upstream_model == "openai/gpt-4o-mini"
    assert Decimal("0.15") == price_book.current(PLATFORM_ID)[model.model_id]["input"]


def test_tiers_by_the_length_of_the_input_become_rows_of_their_own():
    seed = seeds("xai")["grok-4.20"]

    assert {0, 199_999} == {slot.context_over for slot in seed.tiers()}
    short, long = seed.prices, seed.longer[199_999]
    assert all(long[meter] > short[meter] for meter in long)
    assert {"input", "output"} <= long.keys() <= short.keys()
