"""What tests are about, made with one call each: plain functions with keyword overrides."""

import contextlib
import itertools
import json
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from app.application import applications, keys
from app.model import models, price_book
from app.provider import providers
from app.units import utc_now
from app.workspace import workspaces
from tests.gateway_process import Gateway, eventually
from tests.upstream import Upstream

P_STD = {"input": Decimal("1.00"), "output": Decimal("2.00")}
"""Dollars per million tokens: 10 prompt and 100 completion tokens cost 0.00021."""

HELLO = [{"role": "user", "content": "hello"}]
PROVIDER_KEY = "sk-upstream-0123456789abcdef"
SPREAD_S = 1.0
"""Every process knows a change after this long."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Key:
    """An API key with a workspace, an application, a provider and a model of its own."""

    gateway: Gateway
    secret: str = field(repr=False)
    workspace_id: UUID
    application_id: UUID | None
    key_id: UUID
    model: str
    model_id: UUID
    provider_id: UUID

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def with_model(self, name: str) -> "Key":
        """The same key asking for another alias."""
        return replace(self, model=name)

    def chat(self, *, headers: Mapping[str, str] | None = None, **members: Any) -> httpx.Response:
        """Ask for a completion and read the whole answer."""
        body = {"model": self.model, "messages": HELLO} | members
        sent = self.headers | dict(headers or {})
        return self.gateway.client.post("/v1/chat/completions", json=body, headers=sent)

    @contextlib.contextmanager
    def streaming(self, **members: Any) -> Iterator[httpx.Response]:
        """Ask for a stream; its head is read, its body is not."""
        body = {"model": self.model, "messages": HELLO, "stream": True} | members
        with self.gateway.client.stream("POST", "/v1/chat/completions", json=body, headers=self.headers) as answer:
            yield answer

    @contextlib.contextmanager
    def hanging(self, count: int) -> Iterator[None]:
        """Have so many calls wait for an answer while the block runs; then their clients leave."""
        body = {"model": self.model, "messages": HELLO}
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                connection = stack.enter_context(open_connection(self.gateway))
                connection.sendall(http_post("/v1/chat/completions", self.headers, body))
            yield


def open_connection(gateway: Gateway) -> socket.socket:
    """Connect to the gateway's public port."""
    parts = urlsplit(gateway.url)
    return socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=30)


def http_post(path: str, headers: Mapping[str, str], body: object) -> bytes:
    """The exact bytes of a request with a JSON body."""
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: gateway", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(content)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def unique(word: str) -> str:
    """A name nothing else in this run has."""
    return f"{word}-{next(_numbers)}"


def make_key(
    gateway: Gateway,
    upstream: Upstream | str,
    *,
    price: Mapping[str, Decimal] | None = P_STD,
    requests_per_min: int | None = None,
    allowed: list[str] | None = None,
    timeouts: Mapping[str, float] | None = None,
    model: str = "m",
    upstream_model: str = "upstream-model",
    provider_key: str = PROVIDER_KEY,
    expires_at: datetime | None = None,
    kind: str = "proxy",
    known: bool = True,
) -> Key:
    """Make a key and everything below it, and wait until every process of the gateway knows it.

    `price=None` leaves the model unpriced; `allowed=None` allows every model; `known=False` does not wait.
    """
    with gateway.services():
        workspace_id = workspaces.create(unique("workspace"))
        provider_id = make_provider(workspace_id, upstream, provider_key=provider_key, timeouts=timeouts)
        model_id = make_model(workspace_id, provider_id, model, upstream_model=upstream_model, price=price)
        application_id = None if kind == "management" else applications.create(workspace_id, unique("application"))
        limits = keys.Limits(requests_per_min=requests_per_min)
        options: dict[str, Any] = {"limits": limits, "expires_at": expires_at, "kind": kind}
        new = keys.create(workspace_id, application_id, unique("key"), models=allowed or ["*"], **options)
    key = Key(gateway, new.secret, workspace_id, application_id, new.key_id, model, model_id, provider_id)
    if known:
        wait_until_known(key)
    return key


def make_provider(
    workspace_id: UUID,
    upstream: Upstream | str,
    *,
    provider_key: str = PROVIDER_KEY,
    timeouts: Mapping[str, float] | None = None,
) -> UUID:
    """Make an account at the upstream, or at a base address."""
    base_url = upstream if isinstance(upstream, str) else upstream.url
    return providers.save(
        workspace_id, unique("provider"), kind="openai", base_url=base_url, api_key=provider_key, timeouts=timeouts
    )


def make_model(
    workspace_id: UUID,
    provider_id: UUID,
    name: str,
    *,
    upstream_model: str = "upstream-model",
    price: Mapping[str, Decimal] | None = P_STD,
) -> UUID:
    """Make an alias with one deployment and its list price."""
    deployment = models.Deployment(provider_id=provider_id, upstream_model=upstream_model, weight=1, priority=0)
    model_id = models.save(workspace_id, name, [deployment])
    if price is not None:
        price_book.set_prices(workspace_id, model_id, dict(price), now=utc_now())
    return model_id


def wait_until_known(key: Key, limit_s: float = 10.0) -> None:
    """Wait until every process of the gateway lists the key's model for it.

    Which process answers is not ours to choose, so with several of them every fresh connection
    has to succeed for as long as a change may take to spread.
    """
    eventually(lambda: knows(key), limit_s)
    since = time.monotonic()
    while key.gateway.workers > 1 and time.monotonic() - since < SPREAD_S:
        since = since if knows(key) else time.monotonic()


def knows(key: Key) -> bool:
    """Ask on a fresh connection whether the key may list its model."""
    with httpx.Client(base_url=key.gateway.url, trust_env=False) as client:
        answer = client.get("/v1/models", headers=key.headers)
    return answer.status_code == 200 and any(model["id"] == key.model for model in answer.json()["data"])
