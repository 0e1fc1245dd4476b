"""What is counted and what it costs."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.model import adjustments, price_book
from app.model.adjustments import Wanted
from app.units import utc_now
from tests.factories import Key, make_key, make_model, wait_until_known
from tests.gateway.answers import assert_failed_free, billed, error_of, only_row, together
from tests.gateway_process import Gateway, eventually
from tests.upstream import HS, C, E, J, Step, Upstream, close, completion, hold, reply, rst, stream


def test_bc_021_unreported_usage_is_estimated_and_flagged(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    answer = completion(content="word " * 80)
    del answer["usage"]
    upstream.will(E(200, answer))

    assert key.chat().status_code == 200

    row = only_row(key)
    assert (row["usage_source"], row["outcome"], row["billable"]) == ("estimated", "done", True)
    assert row["input"] > 0
    assert 100 <= row["output"] <= 200
    assert (row["input"] + 2 * row["output"]) / Decimal(1_000_000) == row["billed_cost"]


def test_bc_022_a_call_that_failed_before_its_first_byte_is_free(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(rst)

    answer = key.chat()

    assert answer.status_code == 502
    assert error_of(answer)["message"]
    assert_failed_free(key)
    assert gateway.usage(key)["cost"] == "0.000000"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_bc_023_an_answer_that_ended_early_is_billed(gateway: Gateway, upstream: Upstream, reason: str) -> None:
    key = make_key(gateway, upstream)
    upstream.will(J(10, 100, finish=reason))

    assert reason == key.chat().json()["choices"][0]["finish_reason"]

    assert Decimal("0.00021") == billed(key)


FAILURES: dict[str, list[Step]] = {
    "500": [E(500, {"error": {"message": "down"}})],
    "reset": [rst],
    "silence": [hold],
    "cut": [HS, C("a"), close],
    "nonsense": [reply(200, b"{")],
}


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("script", FAILURES.values(), ids=FAILURES.keys())
def test_bc_025_a_failing_call_makes_one_row(
    gateway: Gateway, upstream: Upstream, script: list[Step], streamed: bool
) -> None:
    key = make_key(gateway, upstream, timeouts={"first_byte_s": 0.5, "idle_s": 0.5, "total_s": 5})
    upstream.will(*script)
    upstream.will(J(10, 100))

    key.chat(stream=streamed)
    key.chat()

    failed, good = gateway.settled(2, key)
    assert (failed["attempts"], good["attempts"]) == (1, 1)
    assert ("done", Decimal("0.00021")) == (good["outcome"], good["billed_cost"])
    assert failed["outcome"] != "done"
    assert len(upstream.requests) == 2
    assert gateway.usage(key)["requests"] == 2


def test_bc_026_a_thousand_small_calls_on_twenty_connections_cost_exactly_their_sum(
    gateway2: Gateway, upstream: Upstream
) -> None:
    """On a busy machine Redis may answer too late for an admission: that call is refused, and counts nowhere."""
    key = make_key(gateway2, upstream, price={"input": Decimal("0.15"), "output": Decimal("0.60")})
    upstream.for_model("upstream-model", J(1, 1))
    streamed = make_streams(key, upstream)

    def answered(number: int) -> bool:
        status = key.chat(model=streamed if number % 2 else key.model, stream=bool(number % 2)).status_code
        assert status in {200, 503}
        return status == 200

    assert all(together(20, lambda number: [eventually(lambda: answered(number)) for _ in range(50)]))

    rows = gateway2.settled(1000, key, limit_s=20)
    assert {Decimal("0.00000075")} == {row["billed_cost"] for row in rows}
    assert len({row["event_id"] for row in rows}) == 1000
    summary = eventually(lambda: (u := gateway2.usage(key))["requests"] == 1000 and u)
    assert (summary["cost"].rstrip("0"), *_tokens(summary)) == ("0.00075", 1000, 1000)
    assert sum(row["streamed"] for row in rows) == 500


def make_streams(key: Key, upstream: Upstream) -> str:
    """Give a key a second alias, at the same price, whose upstream model streams."""
    upstream.for_model("streaming", *stream("a", tokens=(1, 1)))
    with key.gateway.services():
        price = {"input": Decimal("0.15"), "output": Decimal("0.60")}
        make_model(key.workspace_id, key.provider_id, "s", upstream_model="streaming", price=price)
    wait_until_known(key.with_model("s"))
    return "s"


def _tokens(summary: dict[str, Any]) -> tuple[int, int]:
    return summary["tokens"]["input"], summary["tokens"]["output"]


def test_bc_027_a_tenth_and_two_tenths_are_three_tenths(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(J(100_000, 0))
    upstream.will(J(200_000, 0))

    assert [key.chat().status_code for _ in range(2)] == [200, 200]

    assert Decimal("0.3") == billed(key, calls=2)
    summary = eventually(lambda: (u := gateway.usage(key))["requests"] == 2 and u)
    assert (summary["cost"], summary["currency"]) == ("0.300000", "USD")


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_bc_030_zero_reported_tokens_are_zero(gateway: Gateway, upstream: Upstream, streamed: bool) -> None:
    key = make_key(gateway, upstream)
    upstream.will(*(stream("a", tokens=(0, 0)) if streamed else [J(0, 0)]))

    assert key.chat(stream=streamed).status_code == 200

    row = only_row(key)
    assert (0, 0, Decimal(0)) == (row["input"], row["output"], row["billed_cost"])
    assert row["usage_source"] == "reported"


def test_bc_032_reading_is_not_billed(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)

    listed = [gateway.client.get("/v1/models", headers=key.headers).status_code for _ in range(10)]
    stored = gateway.client.get("/v1/responses/resp_1", headers=key.headers).status_code
    key.chat()

    assert listed == [200] * 10
    assert stored == 404
    assert Decimal("0.00021") == billed(key, calls=1)
    assert len(upstream.requests) == 1


def test_an_unpriced_model_is_unpriced_and_not_free(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, price=None)

    answer = key.chat()

    assert answer.status_code == 200
    assert "x-gateway-cost" not in answer.headers
    row = only_row(key)
    assert (row["input"], row["output"], row["billed_cost"]) == (10, 100, None)


def test_cached_tokens_are_counted_once_at_their_own_price(gateway: Gateway, upstream: Upstream) -> None:
    price = {"input": Decimal("3.00"), "cache_read": Decimal("0.30"), "output": Decimal("2.00")}
    key = make_key(gateway, upstream, price=price)
    usage = {"prompt_tokens": 2000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 500}}
    upstream.will(J(0, 0, usage=usage))

    assert key.chat().status_code == 200

    row = only_row(key)
    assert (row["input"], row["cache_read"], row["output"]) == (1500, 500, 100)
    assert Decimal("0.00485") == row["billed_cost"]


def test_the_cost_in_the_header_is_what_the_workspace_is_billed(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    priority = {"input": Decimal(10), "output": Decimal(20)}
    with gateway.services():
        slot = price_book.Slot(service_tier="priority")
        price_book.set_prices(key.workspace_id, key.model_id, priority, now=utc_now(), slot=slot)
        since = utc_now() - timedelta(days=1)
        adjustments.set_factor(key.workspace_id, Wanted(factor=Decimal("0.5"), since=since), open_since=None)

    def cost() -> str | None:
        upstream.will(E(200, completion(10, 100) | {"service_tier": "priority"}))
        return key.chat().headers.get("x-gateway-cost")

    eventually(lambda: cost() == "0.001050", 5)


def test_a_call_shows_in_v1_usage_within_two_seconds(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)

    answer = key.chat()

    summary = eventually(lambda: (u := gateway.usage(key))["requests"] == 1 and u, 2)
    assert summary["object"] == "usage"
    assert _tokens(summary) == (10, 100)
    assert (summary["cost"], answer.headers["x-gateway-cost"]) == ("0.000210", "0.000210")


def test_v1_usage_counts_the_calls_of_a_half_open_range(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    key.chat()
    eventually(lambda: gateway.usage(key)["requests"] == 1)
    now = utc_now().replace(minute=0, second=0, microsecond=0)
    hour, day = timedelta(hours=1), timedelta(days=1)

    def requests(start: datetime, end: datetime) -> int:
        return int(gateway.usage(key, **{"from": start.isoformat(), "to": end.isoformat()})["requests"])

    assert requests(now - hour, now + 2 * hour) == 1
    assert requests(now - day, now - hour) == 0
    assert requests(now + 2 * hour, now + day) == 0


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"},
        {"to": "2026-11-01T00:00:00"},
        {"from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"},
    ],
)
def test_v1_usage_refuses_times_that_are_none(gateway: Gateway, upstream: Upstream, query: dict[str, str]) -> None:
    key = make_key(gateway, upstream)

    answer = gateway.client.get("/v1/usage", params=query, headers=key.headers)

    assert (answer.status_code, error_of(answer)["param"]) == (400, list(query)[-1])
