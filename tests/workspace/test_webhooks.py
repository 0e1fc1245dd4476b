"""Webhooks, Slack and Teams: to a real receiver, each in its shape."""

import hmac
import json
from pathlib import Path
from typing import Any
from uuid import UUID

from app.units import utc_now
from app.workspace import channels, senders
from app.workspace.outbound import Rules
from tests.receivers import Hook
from tests.workspace.alerting import LINK, TEXT, TITLE, announce, channel, log


def test_a_webhook_is_signed_and_says_what_happened(acme: UUID, send: Any, hook: Hook) -> None:
    _, secret = channel(acme, "webhook", hook.url)
    announce(acme)

    send()

    (body,), (headers,) = hook.bodies, hook.headers
    assert secret
    assert secret.startswith("whsec_")
    at, _, signed = headers["x-gateway-signature"].partition(",v1=")
    seconds = at.removeprefix("t=")
    assert hmac.new(secret.encode(), f"{seconds}.".encode() + body, "sha256").hexdigest() == signed
    assert abs(utc_now().timestamp() - int(seconds)) < 60
    said = json.loads(body)
    assert ("budget", TITLE, TEXT, LINK) == tuple(said[name] for name in ("event", "title", "text", "link"))
    assert {"threshold_percent": 80} == said["details"]
    assert headers["x-gateway-delivery"] == said["id"]
    assert [("sent", 1, "200 OK")] == log(acme)


def test_a_renewed_secret_signs_from_then_on(acme: UUID, send: Any, hook: Hook) -> None:
    channel_id, old = channel(acme, "webhook", hook.url)
    new = channels.renew_secret(acme, channel_id)
    announce(acme)

    send()

    at, _, signed = hook.headers[0]["x-gateway-signature"].partition(",v1=")
    made = [senders.signature(one or "", int(at[2:]), hook.bodies[0]) for one in (old, new)]
    assert [False, True] == [one.endswith(signed) for one in made]


def test_slack_gets_text_in_which_nothing_is_a_mention(acme: UUID, send: Any, hook: Hook) -> None:
    channel(acme, "slack", hook.url)
    announce(acme)

    send()

    lines = [f"*{TITLE}*", TEXT]
    escaped = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert {"text": f"{escaped}\n<{LINK}|Open the console>"} == json.loads(hook.bodies[0])
    assert "x-gateway-signature" not in hook.headers[0]


def test_teams_gets_a_card(acme: UUID, send: Any, hook: Hook) -> None:
    channel(acme, "teams", hook.url)
    announce(acme)

    send()

    sent = json.loads(hook.bodies[0])
    (attachment,) = sent["attachments"]
    assert ("message", "application/vnd.microsoft.card.adaptive") == (sent["type"], attachment["contentType"])
    card = attachment["content"]
    assert ["AdaptiveCard", TITLE, TEXT] == [card["type"], *(block["text"] for block in card["body"])]
    assert [LINK] == [action["url"] for action in card["actions"]]


def test_an_address_inside_is_refused_when_it_is_used(acme: UUID, send: Any, hook: Hook) -> None:
    channel(acme, "webhook", hook.url)
    announce(acme)

    send(rules=Rules())

    assert [] == hook.bodies
    ((state, _, answer),) = log(acme)
    assert "failed" == state
    assert answer
    assert "inside this network" in answer


def test_the_check_of_the_documentation_tells_ours_from_others(acme: UUID, send: Any, hook: Hook) -> None:
    documented = (Path(__file__).parents[2] / "docs" / "budgets.md").read_text()
    code: dict[str, Any] = {}
    exec(documented.partition("```python\n")[2].partition("```")[0], code)
    is_from_gateway = code["is_from_gateway"]
    _, secret = channel(acme, "webhook", hook.url)
    announce(acme)
    send()
    header, body = hook.headers[0]["x-gateway-signature"], hook.bodies[0]
    old = int(header.partition(",")[0].removeprefix("t=")) - 301

    assert is_from_gateway(secret, header, body)
    assert not is_from_gateway(secret, header, body + b" ")
    assert not is_from_gateway(f"{secret}x", header, body)
    assert not is_from_gateway(secret, senders.signature(str(secret), old, body), body)
