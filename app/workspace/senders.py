"""Writes a message as each kind of channel wants it, and sends it. Nothing here knows the database."""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from app.crypto import CannotOpen, Vault
from app.workspace import mail, outbound
from app.workspace.dispatch import Due
from app.workspace.outbound import CannotSend, Rules

SIGNATURE = "X-Gateway-Signature"
DELIVERY = "X-Gateway-Delivery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the operator gives to send with. `smtp_url` empty: no e-mail."""

    vault: Vault
    rules: Rules
    smtp_url: str = ""
    mail_from: str = ""


def send(due: Due, means: Means, now: datetime) -> str:
    """Send a delivery and give back what was answered; raise `CannotSend`."""
    return SENDERS[due.kind](due, means, now)


def signature(secret: str, at: int, body: bytes) -> str:
    """Sign a body at an instant, in Unix seconds: who has the secret knows that it is ours, and fresh."""
    signed = hmac.digest(secret.encode(), f"{at}.".encode() + body, "sha256").hex()
    return f"t={at},v1={signed}"


def _webhook(due: Due, means: Means, now: datetime) -> str:
    about = {"id": str(due.delivery_id), "created_at": due.created_at.isoformat(), "attempt": due.attempts + 1}
    body = _json(about | dict(due.payload))
    signed = signature(_opened(due, means), int(now.timestamp()), body)
    return outbound.post(
        due.target, body, _headers() | {SIGNATURE: signed, DELIVERY: str(due.delivery_id)}, means.rules
    )


def _slack(due: Due, means: Means, _now: datetime) -> str:
    """https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (read 2026-11)."""
    said = due.payload
    lines = [f"*{_for_slack(said['title'])}*", _for_slack(said["text"])]
    lines += [f"<{said['link']}|Open the console>"] if said["link"] else []
    return outbound.post(_opened(due, means), _json({"text": "\n".join(lines)}), _headers(), means.rules)


def _teams(due: Due, means: Means, _now: datetime) -> str:
    """An adaptive card, as a workflow's "When a Teams webhook request is received" takes it."""
    said = due.payload
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {
                "type": "TextBlock",
                "text": _for_teams(said["title"]),
                "weight": "Bolder",
                "size": "Medium",
                "wrap": True,
            },
            {"type": "TextBlock", "text": _for_teams(said["text"]), "wrap": True},
        ],
    }
    if said["link"]:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open the console", "url": said["link"]}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return outbound.post(
        _opened(due, means), _json({"type": "message", "attachments": [attachment]}), _headers(), means.rules
    )


def _email(due: Due, means: Means, now: datetime) -> str:
    if not means.smtp_url:
        raise CannotSend("this gateway has no mail server: its operator sets SMTP_URL")
    return mail.send(_mail(due, means, now), means.smtp_url, means.rules)


def _mail(due: Due, means: Means, now: datetime) -> EmailMessage:
    said = due.payload
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = said["title"], means.mail_from, due.target
    made["Date"] = format_datetime(now)
    # The same for each attempt, so that mail programs show one message.
    made["Message-ID"] = f"<{due.delivery_id}@{means.mail_from.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content("\n\n".join(filter(None, (said["text"], said["link"]))) + "\n")
    return made


def _opened(due: Due, means: Means) -> str:
    try:
        return means.vault.open(due.sealed_secret or b"", due.channel_id.bytes)
    except CannotOpen as error:
        raise CannotSend("the channel's secret was sealed with another SECRET_KEY; give it a new one") from error


def _headers() -> dict[str, str]:
    return {"Content-Type": "application/json", "User-Agent": "llm-gateway"}


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _for_slack(text: str) -> str:
    """Escape what Slack takes for a link, a mention or a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _for_teams(text: str) -> str:
    """Escape what a card takes for Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]()#" else letter for letter in text)


SENDERS: dict[str, Callable[[Due, Means, datetime], str]] = {
    "webhook": _webhook,
    "slack": _slack,
    "teams": _teams,
    "email": _email,
}
