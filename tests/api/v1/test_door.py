"""Who is let in at /api/v1, to which workspace, and how often; refusals are in OpenAI's shape."""

import dataclasses
from datetime import timedelta

import pytest

from app.api.v1 import door
from app.application import applications, keys
from app.extensions import redis
from app.networks import Networks
from app.units import PLATFORM_ID, utc_now
from app.workspace import workspaces
from tests.api.v1.management import program
from tests.factories import unique


@pytest.fixture
def acme(app):
    assert app.testing
    return workspaces.create(unique("acme"))


def said(answer):
    assert "application/json" == answer.content_type
    assert {"message", "type", "param", "code"} == set(answer.json["error"])
    return answer.status_code, answer.json["error"]["code"]


def test_every_route_stands_behind_the_door(app):
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/v1")]

    assert rules
    assert [] == [rule.rule for rule in rules if not hasattr(app.view_functions[rule.endpoint], "managed")]


def test_nobody_is_let_in_without_a_management_key(app, acme):
    shown = ["", "Bearer", "Basic abc", "Bearer ÿ", "Bearer gw_nothing"]

    refused = [program(app, acme).get("/usage", headers={"Authorization": given}) for given in shown]

    assert {(401, "invalid_api_key")} == {said(answer) for answer in refused}
    assert all("Bearer" in answer.headers["WWW-Authenticate"] for answer in refused)


def test_an_api_key_for_models_is_known_and_may_not(app, acme):
    application_id = applications.create(acme, "chatbot")
    works, ended = (keys.create(acme, application_id, unique("key"), models=["*"]) for _ in range(2))
    keys.revoke(acme, ended.key_id)
    shown = [{"Authorization": f"Bearer {made.secret}"} for made in (works, ended)]

    allowed, unknown = [program(app, acme).get("/usage", headers=given) for given in shown]

    assert (403, "permission_error") == (said(allowed)[0], allowed.json["error"]["type"])
    assert "needs a management key" in allowed.json["error"]["message"]
    assert (401, "invalid_api_key") == said(unknown)


def test_a_key_that_is_revoked_or_expired_or_of_an_archived_workspace_opens_nothing(app, acme):
    revoked, expired = program(app, acme), program(app, acme, expires_at=utc_now() - timedelta(seconds=1))
    keys.revoke(acme, revoked.key_id)
    gone = program(app, workspaces.create(unique("gone")))
    assert 200 == gone.get("/usage").status_code
    workspaces.archive(gone.workspace_id, now=utc_now())

    assert [401] * 3 == [one.get("/usage").status_code for one in (revoked, expired, gone)]


def test_a_workspaces_key_reaches_its_own_workspace_alone(app, acme):
    own, other = program(app, acme), workspaces.create(unique("other"))
    named = workspaces.get(other).name
    asked = ("", str(acme), workspaces.get(acme).name, str(other), named, str(PLATFORM_ID), "nobody")

    answers = [own.get("/usage", {"workspace": one}) for one in asked]

    assert [200, 200, 200, 404, 404, 404, 404] == [answer.status_code for answer in answers]
    told = {
        answer.json["error"]["message"].replace(one, "X")
        for one, answer in zip(asked, answers, strict=True)
        if one and answer.status_code == 404
    }
    assert {"There is no workspace 'X'."} == told


def test_the_platforms_key_reaches_the_workspace_that_it_names(app, acme):
    platforms = program(app)
    asked = (str(acme), workspaces.get(acme).name, "nobody", "00000000-0000-0000-0000-00000000dead", "")

    answers = [platforms.get("/usage", {"workspace": one}) for one in asked]

    assert [200, 200, 404, 404, 400] == [answer.status_code for answer in answers]
    assert "workspace" == answers[-1].json["error"]["param"]


def test_an_address_with_nothing_is_answered_in_json(app, acme):
    own = program(app, acme)

    assert (404, "unknown_url") == said(own.get("/nothing/here"))
    assert 401 == own.get("/nothing", headers={"Authorization": "Bearer x"}).status_code


def test_the_limit_of_a_key_is_its_own_and_says_when_to_come_back(app, acme, monkeypatch):
    monkeypatch.setattr(door, "MOST_PER_MIN", 2)
    busy, quiet = program(app, acme), program(app, acme)

    counted = [busy.get("/nothing") for _ in range(4)]

    assert 429 in {answer.status_code for answer in counted}
    limited = next(answer for answer in counted if answer.status_code == 429)
    assert "rate_limit_exceeded" == said(limited)[1]
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    assert 404 == quiet.get("/nothing").status_code


def test_without_redis_nobody_is_counted(app, acme, monkeypatch):
    monkeypatch.setattr(door, "MOST_PER_MIN", 0)
    monkeypatch.setitem(app.extensions, "redis", type(redis()).from_url("redis://127.0.0.1:1/0"))

    assert 404 == program(app, acme).get("/nothing").status_code


def test_a_workspaces_networks_hold_for_its_management_keys(app, acme):
    own = program(app, acme)
    workspaces.set_networks(acme, Networks.of(["203.0.113.0/24"]))

    answer = own.get("/usage")

    assert (403, "network_not_allowed") == said(answer)
    assert 200 == own.get("/usage", environ_overrides={"REMOTE_ADDR": "203.0.113.7"}).status_code


def test_a_broken_view_says_so_without_saying_why(app, acme, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(door, "_count", broken)

    answer = program(app, acme).get("/nothing")

    assert 500 == answer.status_code
    assert "secret detail" not in answer.get_data(as_text=True)
    assert dataclasses.is_dataclass(program(app, acme))
