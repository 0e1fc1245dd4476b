"""Redis or the database is away, or an upstream is slow."""

import threading
import time
from decimal import Decimal

import pytest

from tests.conftest import Servers, StartGateway
from tests.factories import Key, make_key
from tests.gateway.answers import DONE, billed, error_of, payloads
from tests.gateway_process import Gateway, eventually
from tests.upstream import HS, C, J, Upstream, hold, stream, wait_for


@pytest.mark.parametrize("killed", [False, True], ids=["frozen", "killed"])
def test_without_redis_calls_are_refused_quickly_and_served_again_afterwards(
    start_gateway: StartGateway, upstream: Upstream, killed: bool
) -> None:
    gateway = start_gateway()
    key = make_key(gateway, upstream)
    assert key.chat().status_code == 200

    with without_redis(gateway, killed=killed):
        since = time.monotonic()
        answers = [key.chat(stream=bool(number % 2)) for number in range(6)]
        took = time.monotonic() - since
        assert gateway.client.get("/healthz").status_code == 200

    assert {(a.status_code, a.headers["x-gateway-error"]) for a in answers} == {(503, "gateway_unavailable")}
    assert all(error_of(answer)["message"] for answer in answers)
    assert took < 3
    assert len(upstream.requests) == 1
    eventually(lambda: key.chat().status_code == 200)
    served = len(upstream.requests)
    eventually(lambda: len(gateway.rows(key.key_id)) == served)


def without_redis(gateway: Gateway, *, killed: bool):
    return gateway.redis_killed() if killed else gateway.redis_frozen()


def test_usage_settled_while_redis_is_away_is_kept(start_gateway: StartGateway, upstream: Upstream) -> None:
    gateway = start_gateway()
    key, go_on = make_key(gateway, upstream), threading.Event()
    upstream.will(HS, C("a"), wait_for(go_on), *stream("b")[1:])

    with key.streaming() as answer:
        lines = answer.iter_lines()
        next(lines)
        with gateway.redis_killed():
            go_on.set()
            rest = list(lines)

    assert DONE in payloads("\n".join(rest))
    assert billed(key) == Decimal("0.00021")


def test_with_the_database_away_known_keys_are_served_and_unknown_ones_are_not_judged(
    start_gateway: StartGateway, servers: Servers, upstream: Upstream
) -> None:
    gateway = start_gateway()
    key = make_key(gateway, upstream)

    with servers.away(gateway.database):
        unknown = {"Authorization": "Bearer gw_aaaaaaaa_" + "b" * 32 + "_cccccc"}
        eventually(lambda: gateway.client.get("/v1/models", headers=unknown).status_code == 503)
        answers = [key.chat() for _ in range(3)]
        stranger = gateway.client.get("/v1/models", headers=unknown)
        ready = gateway.client.get("/readyz").status_code

    assert [answer.status_code for answer in answers] == [200] * 3
    assert (stranger.status_code, stranger.headers["x-gateway-error"]) == (503, "gateway_unavailable")
    assert ready == 200
    assert billed(key, calls=3) == Decimal("0.00063")
    eventually(lambda: gateway.client.get("/v1/models", headers=unknown).status_code == 401)


def test_a_slow_upstream_holds_up_nobody_else(gateway: Gateway, upstream: Upstream) -> None:
    slow, quick = make_key(gateway, upstream), make_key(gateway, upstream, upstream_model="quick")
    upstream.for_model("quick", J(1, 1))
    upstream.always(hold)

    def ask(key: Key) -> float:
        since = time.monotonic()
        assert key.chat().status_code == 200
        return time.monotonic() - since

    with slow.hanging(30):
        upstream.wait_for_requests(30)
        took = [ask(quick) for _ in range(5)]
        connections = gateway.sql("select state from pg_stat_activity where datname = current_database()")

    assert max(took) < 1
    assert "idle in transaction" not in {row["state"] for row in connections}
    gateway.settled(30, slow)
