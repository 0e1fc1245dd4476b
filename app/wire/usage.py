"""Token usage as disjoint classes: each token is counted in exactly one meter.

Upstreams disagree on what contains what (`prompt_tokens` holds cached tokens at OpenAI, not at
Anthropic); a codec resolves that on the way in, so that money never has to.
"""

from dataclasses import dataclass, field
from typing import Any

METERS = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "reasoning",
    "input_audio",
    "output_audio",
)
"""The common meters, in the order in which people read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens by meter. `reported` is the upstream's own object, kept for the audit of a bill.

    `service_tier` is the one that served the call, by our word for it; None: the upstream says nothing that we know.
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    service_tier: str | None = None
    reported: dict[str, Any] | None = field(default=None, compare=False)

    def meters(self) -> dict[str, int]:
        """The meters that are not 0."""
        return {meter: count for meter in METERS if (count := getattr(self, meter))}


NOTHING = Usage()
