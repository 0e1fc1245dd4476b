"""A workspace with channels, the receivers that they lead to, and the worker's courier."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from flask import Flask

from app.crypto import Vault
from app.extensions import settings
from app.units import utc_now
from app.workspace import courier, workspaces
from app.workspace.courier import Courier
from app.workspace.outbound import Rules
from app.workspace.senders import Means
from tests import receivers
from tests.factories import unique
from tests.receivers import Hook, Mailbox


@pytest.fixture
def acme(app: Flask) -> UUID:
    assert app.testing
    return workspaces.create(unique("acme"))


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with receivers.mailbox() as found:
        yield found


@pytest.fixture
def hook() -> Iterator[Hook]:
    with receivers.hook() as found:
        yield found


@pytest.fixture
def send(app: Flask, fresh_database: Any, redis_url: str, mailbox: Mailbox) -> Iterator[Any]:
    """One round of the courier, some time from now; answers how many deliveries were tried."""
    with app.app_context():
        vault = Vault.of(settings().secret_key)
    means = Means(vault=vault, rules=Rules(private_allowed=True), smtp_url=mailbox.url, mail_from="gateway@corp.test")
    engine, client = courier.engine(fresh_database.ingest_url), redis.Redis.from_url(redis_url)
    with ThreadPoolExecutor(4) as pool:

        def turn(later: timedelta = timedelta(0), **changes: Any) -> int:
            used = Means(**{name: getattr(means, name) for name in Means.__slots__} | changes)
            return Courier(engine, client, used).turn(pool, utc_now() + later)

        yield turn
    engine.dispose()
    client.close()
