"""Deliveries: tried until they arrive, not by two at once, and kept to be read."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.extensions import transaction
from app.logging import alert_figures
from app.units import utc_now
from app.workspace import channels, courier, deliveries, dispatch
from app.workspace.channels import Wish
from app.workspace.names import Invalid
from tests.gateway_process import eventually
from tests.receivers import Hook
from tests.workspace.alerting import announce, channel, log


def test_a_failing_receiver_is_asked_again_ever_later_and_then_given_up(acme: UUID, send: Any, hook: Hook) -> None:
    channel(acme, "webhook", hook.url)
    hook.statuses = [500]
    announce(acme)

    for attempt, wait in enumerate((0, 1, 5, 30, 120, 720), 1):
        if wait:
            _age(acme, timedelta(minutes=wait) - timedelta(seconds=5))
            assert 0 == send()
            _age(acme, timedelta(seconds=5))
        assert 1 == send()
        assert attempt == len(hook.bodies)

    assert [("failed", 6, "500 Internal Server Error: ok")] == log(acme)
    assert len({json.loads(body)["id"] for body in hook.bodies}) == 1


def _age(workspace_id: UUID, by: timedelta) -> None:
    """Let time pass for what waits."""
    with transaction(workspace_id) as session:
        session.execute(text("update delivery set next_at = next_at - :by"), {"by": by})


def test_a_failed_delivery_can_be_sent_once_more(acme: UUID, send: Any, hook: Hook) -> None:
    channel(acme, "webhook", hook.url)
    hook.statuses = [410, 200]
    announce(acme)
    send()
    ((state, _, _),) = log(acme)
    (one,) = deliveries.page(acme).items

    deliveries.replay(acme, one.delivery_id, now=utc_now())
    with pytest.raises(Invalid):
        deliveries.replay(acme, one.delivery_id, now=utc_now())
    send()

    assert "failed" == state
    assert [("sent", 1, "200 OK")] == log(acme)


def test_the_same_thing_is_announced_once(acme: UUID, send: Any, hook: Hook) -> None:
    channel(acme, "webhook", hook.url)

    assert [1, 0, 1] == [announce(acme), announce(acme), announce(acme, about="twice")]
    assert 2 == send()


def test_a_delivery_is_not_taken_by_two(acme: UUID, send: Any, hook: Hook, fresh_database: Any) -> None:
    channel(acme, "webhook", hook.url)
    announce(acme)
    engine = courier.engine(fresh_database.ingest_url)
    with Session(engine) as session:
        taken = dispatch.take(session, utc_now(), most=8)
    engine.dispose()

    assert 1 == len(taken)
    assert 0 == send()
    assert 1 == send(dispatch.LEASE), "whoever took it has died"


def test_a_channel_that_is_off_waits(acme: UUID, send: Any, hook: Hook) -> None:
    channel_id, _ = channel(acme, "webhook", hook.url, name="hook")
    announce(acme)
    channels.edit(acme, channel_id, Wish(name="hook", target=hook.url, events=("budget",), enabled=False))

    assert 0 == announce(acme, about="another")
    assert 0 == send()


def test_old_deliveries_are_forgotten(acme: UUID, hook: Hook, send: Any, fresh_database: Any) -> None:
    channel(acme, "webhook", hook.url)
    announce(acme)
    send()
    announce(acme, about="waiting")
    _age(acme, timedelta(days=-1))
    engine = courier.engine(fresh_database.ingest_url)
    with Session(engine) as session:
        dispatch.forget(session, utc_now() + dispatch.KEPT - timedelta(minutes=1))
        kept = len(deliveries.page(acme).items)
        dispatch.forget(session, utc_now() + dispatch.KEPT + timedelta(minutes=1))
    engine.dispose()

    assert 2 == kept
    assert ["waiting"] == [one.state for one in deliveries.page(acme).items]


def test_metrics_count_what_became_of_deliveries(acme: UUID, send: Any, hook: Hook, redis_url: str) -> None:
    channel(acme, "webhook", hook.url)
    hook.statuses = [200, 500, 410]
    for about in "abc":
        announce(acme, about=about)
        send()

    with redis.Redis.from_url(redis_url) as client:
        samples = [sample for metric in alert_figures.read(client) for sample in metric.samples]
    found = {(one.name, one.labels.get("outcome")): one.value for one in samples}
    attempts = [found["gateway_delivery_attempts_total", outcome] for outcome in ("sent", "retried", "failed")]
    assert [1, 1, 1] == attempts
    assert 1 == found["gateway_deliveries_waiting", None]


def test_a_replay_has_the_same_id_and_a_signature_of_its_own(acme: UUID, send: Any, hook: Hook) -> None:
    channel(acme, "webhook", hook.url)
    announce(acme)
    send()
    (one,) = deliveries.page(acme).items
    second = int(hook.headers[0]["x-gateway-signature"].partition(",")[0][2:])
    eventually(lambda: int(utc_now().timestamp()) > second, 3)

    deliveries.replay(acme, one.delivery_id, now=utc_now())
    send()

    signed = [headers["x-gateway-signature"] for headers in hook.headers]
    times = [int(one.partition(",")[0].removeprefix("t=")) for one in signed]
    assert times[0] < times[1]
    assert signed[0].partition(",")[2] != signed[1].partition(",")[2]
    assert [str(one.delivery_id)] * 2 == [headers["x-gateway-delivery"] for headers in hook.headers]
    assert [str(one.delivery_id)] * 2 == [json.loads(body)["id"] for body in hook.bodies]


def test_an_attempt_that_ends_too_late_changes_nothing(acme: UUID, send: Any, hook: Hook, fresh_database: Any) -> None:
    channel(acme, "webhook", hook.url)
    announce(acme)
    engine = courier.engine(fresh_database.ingest_url)
    with Session(engine) as session:
        (late,) = dispatch.take(session, utc_now(), most=8)
        send(dispatch.LEASE)
        dispatch.failed(session, late, "500", utc_now())
    engine.dispose()

    assert [("sent", 1, "200 OK")] == log(acme)


def test_what_waits_for_a_channel_that_is_off_is_no_backlog(acme: UUID, hook: Hook, fresh_database: Any) -> None:
    channel_id, _ = channel(acme, "webhook", hook.url, name="hook")
    announce(acme)
    engine = courier.engine(fresh_database.ingest_url)
    with Session(engine) as session:
        on, _ = dispatch.backlog(session)
        channels.edit(acme, channel_id, Wish(name="hook", target=hook.url, events=("budget",), enabled=False))
        off = dispatch.backlog(session)
        dispatch.forget(session, utc_now() + dispatch.KEPT + timedelta(minutes=1))
    engine.dispose()

    assert (1, (0, None)) == (on, off)
    assert [] == deliveries.page(acme).items
