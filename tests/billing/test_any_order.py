"""Whatever order, doubling and cutting into batches events arrive in, the ledger says the same."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.billing.events import PROVISIONAL, SETTLED, UsageEvent
from app.units import new_id
from tests.billing.books import NOON, Books, call, open_books

CUT = None
"""Stands in a delivery for: a batch ends here."""


@pytest.fixture(scope="module")
def shared_books(servers: Any) -> Iterator[Books]:
    database = servers.create()
    books = open_books(database, servers.valkey.url)
    books.redis.flushall()
    yield books
    for client in (books.redis, books.owner, books.ingest):
        client.close()
    servers.drop(database)


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[int, str] | None]:
    """Numbers of calls and states, each at least once, with doubles and batch ends in between."""
    calls = draw(
        st.lists(st.sampled_from([(PROVISIONAL,), (SETTLED,), (PROVISIONAL, SETTLED)]), min_size=1, max_size=8)
    )
    events = [(number, state) for number, states in enumerate(calls) for state in states]
    doubles = draw(st.lists(st.sampled_from(events), max_size=6))
    cuts = [CUT] * draw(st.integers(0, 4))
    return list(draw(st.permutations([*events, *doubles, *cuts])))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(delivery=deliveries())
def test_any_order_and_doubling_gives_the_same_ledger(
    shared_books: Books, delivery: list[tuple[int, str] | None]
) -> None:
    workspace_id, model_id = shared_books.workspace("Asia/Kathmandu"), new_id()
    shared_books.price(model_id, input="1.00", output="2.00")
    calls: dict[int, dict[str, UsageEvent]] = {}

    for item in delivery:
        if item is CUT:
            shared_books.take()
            continue
        number, state = item
        shared_books.put(calls.setdefault(number, _call(workspace_id, model_id, number))[state])
    shared_books.take()

    final = {number: SETTLED if (number, SETTLED) in delivery else PROVISIONAL for number in calls}
    expected = {calls[number][state].event_id: (state, _output(number, state)) for number, state in final.items()}
    mine = shared_books.sql("select * from usage_event where workspace_id = %s", workspace_id)
    assert expected == {row["event_id"]: (row["state"], row["output"]) for row in mine}
    assert shared_books.rollups_from_rows() == shared_books.rollups()


def _call(workspace_id: Any, model_id: Any, number: int) -> dict[str, UsageEvent]:
    """Both events of one call; every third call is guessed on another target than it settles on."""
    settled = call(workspace_id, at=NOON, model_id=model_id, meters={"output": _output(number, SETTLED)})
    members = {name: getattr(settled, name) for name in UsageEvent.__struct_fields__}
    changes = {"state": PROVISIONAL, "outcome": "unsettled", "meters": {"output": _output(number, PROVISIONAL)}}
    if number % 3 == 0:
        changes["deployment_id"] = new_id()
    return {SETTLED: settled, PROVISIONAL: UsageEvent(**members | changes)}


def _output(number: int, state: str) -> int:
    return 100 + number if state == SETTLED else 5000 + number
