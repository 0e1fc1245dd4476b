"""Reading what came back, strictly, and asking with exact bytes."""

import contextlib
import json
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx

from tests.factories import Key, open_connection
from tests.gateway_process import Gateway

DONE = "[DONE]"


def payloads(text: str) -> list[str]:
    """The `data:` payloads of an event stream; anything but a comment or a field fails."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        assert all(line.split(":")[0] in ("data", "event", "id", "retry") for line in lines), block
        said = [line[5:].removeprefix(" ") for line in lines if line.startswith("data:")]
        found += ["\n".join(said)] if said else []
    return found


def events(text: str) -> list[dict[str, Any]]:
    """The events of a stream that hold JSON."""
    return [json.loads(payload) for payload in payloads(text) if payload != DONE]


def text_of(text: str) -> str:
    """What the model said in a stream."""
    choices = [choice for event in events(text) for choice in event.get("choices", [])]
    return "".join(choice.get("delta", {}).get("content") or "" for choice in choices)


def errors_in(text: str) -> list[dict[str, Any]]:
    """The error objects in a stream."""
    return [event["error"] for event in events(text) if "error" in event]


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error object of an answer; it has the whole OpenAI shape or the test fails."""
    assert answer.headers["content-type"].split(";")[0] == "application/json", answer.text[:300]
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert isinstance(error["message"], str)
    return dict(error)


def billed(key: Key, calls: int = 1) -> Decimal:
    """What so many calls of a key cost together, once all of them are in the ledger."""
    rows = key.gateway.settled(calls, key)
    assert all(row["billed_cost"] is not None for row in rows), "unpriced"
    return sum((row["billed_cost"] for row in rows), Decimal(0))


def only_row(key: Key) -> dict[str, Any]:
    """The one usage row of a key."""
    return key.gateway.settled(1, key)[0]


def assert_failed_free(key: Key) -> dict[str, Any]:
    """The one call of a key is recorded as a failure that costs nothing."""
    row = only_row(key)
    assert row["outcome"] != "done"
    assert (0, 0, Decimal(0)) == (row["input"], row["output"], row["billed_cost"])
    assert not row["billable"]
    return row


def raw(gateway: Gateway, data: bytes, *, half_close: bool = False) -> bytes:
    """Send exact bytes; answer all that comes until the gateway closes."""
    with open_connection(gateway) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        return b"".join(_until_closed(connection))


def _until_closed(connection: socket.socket) -> Iterable[bytes]:
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            yield data


def together(count: int, ask: Any) -> list[Any]:
    """Run `ask(number)` so many times at once."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))
