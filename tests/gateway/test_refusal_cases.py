"""Refused calls leave their trace: a count with its reason, no call and no cost."""

import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.application import keys
from app.billing.events import NO_KEY, stream_key
from app.units import PLATFORM_ID, bucket_of, bucket_tag, utc_now
from tests import people
from tests.conftest import StartGateway
from tests.console import reading
from tests.factories import Key, make_key, make_model, wait_until_known
from tests.gateway.answers import together
from tests.gateway.test_budget_cases import budget, use_up
from tests.gateway_process import Gateway, eventually
from tests.upstream import Upstream

AWAY = "gateway_unavailable"


def counted(gateway: Gateway, workspace_id: UUID = PLATFORM_ID) -> Counter[str]:
    """The refused calls of a workspace by reason, as the database has them."""
    asked = "select code, sum(calls)::int as calls from refusal_hour where workspace_id = %s group by 1"
    return Counter({row["code"]: row["calls"] for row in gateway.sql(asked, workspace_id)})


def limited_key(key: Key) -> Key:
    """A second key of the workspace, for one model and one request a minute."""
    with key.gateway.services():
        options: dict[str, Any] = {"models": [key.model], "limits": keys.Limits(requests_per_min=1)}
        made = keys.create(key.workspace_id, key.application_id, "limited", **options)
    found = replace(key, secret=made.secret, key_id=made.key_id)
    wait_until_known(found)
    return found


def stranger(key: Key, number: int = 0) -> httpx.Response:
    return replace(key, secret=f"gw_aaaaaaaa_{number:032}_cccccc").chat()


def page(key: Key, /, **query: str) -> str:
    """The text of the workspace's usage page."""
    with key.gateway.services() as app:
        client = people.member(key.workspace_id, "viewer").client(app)
        return reading.text(client.get(f"/w/{key.workspace_id}/usage", query_string=query))


def reported(key: Key, management: str, /, **query: str) -> dict[str, Any]:
    """What `GET /api/v1/usage` says."""
    headers = {"Authorization": f"Bearer {management}"}
    answer = key.gateway.client.get("/api/v1/usage", params=query, headers=headers)
    assert 200 == answer.status_code, answer.text
    return dict(answer.json())


def management_key(key: Key) -> str:
    with key.gateway.services():
        return keys.create(key.workspace_id, None, "program", models=["*"], kind="management").secret


def test_bc_038_each_refusal_is_counted_with_its_reason_and_is_no_call(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    limited, program = limited_key(key), management_key(key)
    with gateway.services():
        make_model(key.workspace_id, key.provider_id, "unpriced", price=None)
        make_model(key.workspace_id, key.provider_id, "other")
    wait_until_known(key.with_model("unpriced"))
    before = counted(gateway)
    answers = [limited.chat(), limited.chat(), limited.with_model("other").chat(), key.with_model("nothing").chat()]
    answers.append(stranger(key))
    use_up(key, budget(key, "0.0002"))
    answers += [key.chat(), key.with_model("unpriced").chat()]
    assert [200, 429, 404, 404, 401, 429, 429] == [answer.status_code for answer in answers]

    expected = {
        "policy_budget_exceeded": 3,
        "caller_model_not_allowed": 1,
        "caller_model_not_found": 1,
        "policy_rate_limited": 1,
    }
    eventually(lambda: counted(gateway, key.workspace_id).total() >= 6)
    calls = gateway.settled(1, limited) + gateway.rows(key.key_id)
    assert {("done", 200)} == {(row["outcome"], row["http_status"]) for row in calls}
    assert (expected, {"caller_not_authenticated": 1}) == (
        counted(gateway, key.workspace_id),
        eventually(lambda: counted(gateway) - before),
    )
    report = reported(key, program)
    assert (expected, 0) == (report["refused"], report["total"]["failed"])
    shown = page(key)
    for line in (
        "Refused calls by reason",
        "Budget used up 3",
        "Unknown model 1",
        "Model not allowed for the key 1",
        "Rate limit reached 1",
    ):
        assert line in shown
    assert "They are not usage and cost nothing." in shown


def test_bc_038_a_question_about_a_key_has_the_refusals_of_that_key(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    limited, program = limited_key(key), management_key(key)
    for asked in (key.with_model("nothing"), limited.with_model("other"), limited.with_model("other")):
        assert 404 == asked.chat().status_code
    eventually(lambda: counted(gateway, key.workspace_id).total() == 3)

    shown = page(key, key=str(limited.key_id))

    assert "Model not allowed for the key 2" in shown
    assert "Unknown model" not in shown
    assert "No call reached a provider in these days" in shown
    assert {"caller_model_not_allowed": 2} == reported(key, program, key=str(limited.key_id))["refused"]
    assert reported(key, program, model=str(key.model_id))["refused"] is None
    assert {} == reported(key, program, period="yesterday")["refused"]
    assert "Refused calls" not in page(key, model=str(key.model_id)) + page(key, period="yesterday")


def test_bc_038_keys_that_may_not_call_count_for_their_workspace(gateway: Gateway, upstream: Upstream) -> None:
    expires_at = utc_now() + timedelta(seconds=3)
    past = make_key(gateway, upstream, expires_at=expires_at)
    management = make_key(gateway, upstream, kind="management", known=False)
    eventually(lambda: gateway.client.get("/v1/models", headers=management.headers).status_code == 403)
    eventually(lambda: utc_now() >= expires_at)

    assert [401, 403] == [past.chat().status_code, management.chat().status_code]

    assert {"caller_not_authenticated": 1} == eventually(lambda: counted(gateway, past.workspace_id))
    assert {"caller_not_allowed": 1} == eventually(lambda: counted(gateway, management.workspace_id))


@pytest.mark.parametrize("killed", [False, True], ids=["frozen", "killed"])
def test_bc_038_while_redis_is_away_no_refusal_is_lost_or_doubled(
    start_gateway: StartGateway, upstream: Upstream, killed: bool
) -> None:
    gateway = start_gateway()
    key = make_key(gateway, upstream)
    refused = Counter[str]()

    def refuse() -> None:
        for asked in (key.with_model("nothing"), key):
            refused[asked.chat().headers.get("x-gateway-error", "none")] += 1

    with gateway.redis_killed() if killed else gateway.redis_frozen():
        began = time.monotonic()
        while time.monotonic() - began < 3:
            refuse()
    eventually(lambda: key.chat().status_code == 200)
    refused["caller_model_not_found"] += 1
    assert 404 == key.with_model("nothing").chat().status_code

    assert {"caller_model_not_found", AWAY} == set(refused)
    found = eventually(
        lambda: (
            (c := counted(gateway, key.workspace_id))["caller_model_not_found"] >= refused["caller_model_not_found"]
            and c
        )
    )
    assert refused["caller_model_not_found"] == found["caller_model_not_found"]
    assert found[AWAY] >= refused[AWAY], "the calls that waited for Redis to come back may be more"


def test_bc_038_five_thousand_unknown_keys_are_one_count(gateway2: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway2, upstream)
    began, before, entries = utc_now(), counted(gateway2), _entries(gateway2)

    statuses = together(20, lambda part: {stranger(key, part * 250 + number).status_code for number in range(250)})

    assert [{401}] * 20 == statuses
    made = eventually(lambda: (c := counted(gateway2) - before).total() >= 5000 and c, 20)
    assert {"caller_not_authenticated": 5000} == made
    rows = gateway2.sql("select * from refusal_hour where workspace_id = %s and hour_start > %s", PLATFORM_ID, began)
    assert len(rows) <= 1
    assert {NO_KEY} == {
        row["key_id"] for row in gateway2.sql("select key_id from refusal_hour where code = 'caller_not_authenticated'")
    }
    seconds = (utc_now() - began).total_seconds()
    assert _entries(gateway2) - entries <= gateway2.workers * (seconds + 2)
    with gateway2.services() as app:
        shown = reading.text(people.person(platform_role="admin").client(app).get("/platform"))
    assert f"{counted(gateway2)['caller_not_authenticated']:,} refused calls within the last 24 hours" in shown


def _entries(gateway: Gateway) -> int:
    """How many entries the platform's stream ever had."""
    name = stream_key(bucket_tag(bucket_of(PLATFORM_ID)))
    found: Any = gateway.redis.xinfo_stream(name) if gateway.redis.exists(name) else {"entries-added": 0}
    return int(found["entries-added"])
