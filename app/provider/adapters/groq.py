"""Groq: no token probabilities or biases; streams report usage in `x_groq` as well.

https://console.groq.com/docs/openai
"""

from app.provider.families.openai_compatible import openai_compatible

ADAPTER = openai_compatible(
    "groq",
    "https://api.groq.com/openai/v1",
    drop=frozenset({"logprobs", "top_logprobs", "logit_bias"}),
    usage="groq",
)
