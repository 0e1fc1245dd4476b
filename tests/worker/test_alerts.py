"""The worker as it really runs: a budget that is used up is told, and a receiver that hangs holds up nothing."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.crypto import Vault
from app.units import new_id
from tests import receivers
from tests.billing.books import call, recent
from tests.gateway_process import eventually
from tests.worker.running import Running

VAULT = Vault.of("a-secret-for-tests-of-enough-length")


@pytest.fixture
def running(fresh_database: Any, tmp_path: Path) -> Iterator[Running]:
    running = Running(fresh_database, tmp_path)
    yield running
    running.stop()


def budget(running: Running, workspace_id: UUID) -> None:
    running.books.owner.execute(
        "insert into budget (workspace_id, budget_id, name, scope, period, limit_usd, thresholds)"
        " values (%s, %s, 'b', 'workspace', 'month', 1, '{100}')",
        [workspace_id, new_id()],
    )


def webhook(running: Running, workspace_id: UUID, url: str) -> None:
    channel_id = new_id()
    values = [workspace_id, channel_id, f"c-{channel_id}", url, VAULT.seal("secret", channel_id.bytes)]
    running.books.owner.execute(
        "insert into channel (workspace_id, channel_id, name, kind, target, sealed_secret, events)"
        " values (%s, %s, %s, 'webhook', %s, %s, '{budget}')",
        values,
    )


def spend(running: Running, workspace_id: UUID) -> None:
    model_id = new_id()
    running.books.price(model_id, input="1")
    running.books.put(call(workspace_id, at=recent(), model_id=model_id, meters={"input": 1_000_000}))


def test_what_is_spent_is_told_within_seconds_also_while_another_receiver_hangs(running: Running) -> None:
    workspace_id = running.books.workspace()
    budget(running, workspace_id)

    with receivers.hook() as hook, socket.create_server(("127.0.0.1", 0)) as hangs:
        webhook(running, workspace_id, f"http://127.0.0.1:{hangs.getsockname()[1]}/")
        webhook(running, workspace_id, hook.url)
        spend(running, workspace_id)
        eventually(lambda: hook.bodies, 20)
        spend(running, workspace_id)
        eventually(lambda: len(running.books.rows()) == 2, 5)

    assert 100 == json.loads(hook.bodies[0])["details"]["threshold_percent"]
