"""Mistral: a strict body (an unknown field is a 422), its own name for the seed, `max_tokens` only.

https://docs.mistral.ai/api/
"""

from app.provider.families.openai_compatible import openai_compatible

ADAPTER = openai_compatible(
    "mistral",
    "https://api.mistral.ai/v1",
    rename={"seed": "random_seed", "max_completion_tokens": "max_tokens"},
    drop=frozenset({"logit_bias", "user"}),
)
