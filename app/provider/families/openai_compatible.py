"""Upstreams that speak OpenAI's chat dialect: one builder, and what differs is data.

**Addresses.** A base address may be written as people have it at hand. `endpoint` joins it with
a path by one rule: an address without a path gets `/v1`, one with a path is taken at its word,
and a query (`?api-version=…`) stays at the end.

    http://stub  http://stub/  http://stub/v1  http://stub/v1/   →  http://stub/v1/chat/completions
    http://stub/api/v3                                           →  http://stub/api/v3/chat/completions
    http://stub/openai/deployments/d?api-version=2024-06-01
                       →  http://stub/openai/deployments/d/chat/completions?api-version=2024-06-01
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

UsageReader = Literal["openai", "xai", "deepseek", "groq"]
"""How token counts are reported: xAI counts reasoning outside `completion_tokens`, DeepSeek
names cache hits `prompt_cache_hit_tokens`, Groq's streams carry usage in `x_groq` as well."""

Body = dict[str, Any]
Headers = dict[str, str]
NOTHING: Mapping[str, str] = MappingProxyType({})


def bearer(secret: str) -> Headers:
    """Send the secret as nearly everybody wants it; no secret, no header."""
    return {"authorization": f"Bearer {secret}"} if secret else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """How one kind of upstream differs: maps only, no behaviour of its own."""

    name: str
    base_url: str
    chat_path: str = "/chat/completions"
    rename: Mapping[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    headers: Callable[[str], Headers] = bearer
    usage: UsageReader = "openai"

    def request(self, body: Body) -> Body:
        """Make the body that the upstream takes: the same members, renamed or dropped.

        A member that is sent under the upstream's own name as well wins over the renamed one.
        """
        kept = {name: value for name, value in body.items() if name not in self.drop}
        renamed = {self.rename[name]: value for name, value in kept.items() if name in self.rename}
        same = {name: value for name, value in kept.items() if name not in self.rename}
        return {**renamed, **same} if renamed else same

    def dropped(self, body: Body) -> list[str]:
        """Name the members of a request that this upstream would refuse and is not sent."""
        return [name for name in body if name in self.drop]

    def chat_url(self, base_url: str = "") -> str:
        """Find where chat requests go; the account's own base address when it has one."""
        return endpoint(base_url or self.base_url, self.chat_path)

    def models_url(self, base_url: str = "") -> str:
        """Find where the upstream lists its models."""
        return endpoint(base_url or self.base_url, "/models")


def openai_compatible(  # noqa: PLR0913 - one keyword for each way to differ
    name: str,
    base_url: str,
    *,
    rename: Mapping[str, str] = NOTHING,
    drop: frozenset[str] = frozenset(),
    chat_path: str = "/chat/completions",
    headers: Callable[[str], Headers] = bearer,
    usage: UsageReader = "openai",
) -> Adapter:
    """Build the adapter of an upstream that speaks OpenAI's chat dialect."""
    return Adapter(
        name=name,
        base_url=base_url,
        chat_path=chat_path,
        rename=MappingProxyType(dict(rename)),
        drop=drop,
        headers=headers,
        usage=usage,
    )


def endpoint(base_url: str, path: str) -> str:
    """Join a base address and a path by the rule at the top."""
    parts = urlsplit(base_url)
    prefix = parts.path.rstrip("/") or "/v1"
    return urlunsplit((parts.scheme, parts.netloc, prefix + path, parts.query, ""))
