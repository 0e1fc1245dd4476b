"""Channels: what they may be, and what of them is secret."""

import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.extensions import transaction
from app.workspace import channels, deliveries
from app.workspace.channels import Wish
from app.workspace.names import Invalid, NotFound
from tests.receivers import Hook, Mailbox
from tests.workspace.alerting import announce, channel


def test_secret_addresses_are_sealed_and_never_shown(acme: UUID) -> None:
    channel_id, secret = channel(acme, "slack", "https://hooks.slack.com/services/T0/B0/verysecretword")

    shown = channels.get(acme, channel_id)
    with transaction(acme) as session:
        row = session.execute(text("select target, sealed_secret from channel")).one()
        trail = session.execute(text("select after::text from audit_outbox")).scalars().all()

    assert secret is None
    assert "hooks.slack.com/…word" == shown.target == row.target
    assert b"verysecret" not in bytes(row.sealed_secret)
    assert not [entry for entry in trail if entry and "verysecret" in entry]


def test_a_secret_address_stays_when_none_is_given(acme: UUID, send: Any, hook: Hook) -> None:
    channel_id, _ = channel(acme, "slack", hook.url, name="before")

    channels.edit(acme, channel_id, Wish(name="after", target="", events=("budget",)))
    announce(acme)
    send()

    assert 1 == len(hook.bodies)


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("email", ""),
        ("email", "nobody"),
        ("email", "a@b.test\r\nBcc: c@d.test"),
        ("email", "=1@b.test,x"),
        ("email", " ".join(f"a{n}@b.test" for n in range(21))),
        ("webhook", "ftp://b.test/"),
        ("slack", ""),
        ("teams", "https://user:word@b.test/"),
        ("pager", "https://b.test/"),
    ],
)
def test_what_no_channel_can_be_is_refused(acme: UUID, kind: str, target: str) -> None:
    with pytest.raises(Invalid):
        channel(acme, kind, target)

    assert [] == channels.all_of(acme)


def test_a_channel_must_want_something_that_there_is(acme: UUID) -> None:
    for events in ((), ("weather",)):
        with pytest.raises(Invalid, match="events"):
            channel(acme, "email", "a@b.test", events=events)


def test_a_removed_channel_takes_its_deliveries_along(acme: UUID, send: Any, hook: Hook) -> None:
    channel_id, _ = channel(acme, "webhook", hook.url)
    announce(acme)

    channels.remove(acme, channel_id)

    assert [] == deliveries.page(acme).items
    assert 0 == send()
    with pytest.raises(NotFound):
        channels.get(acme, channel_id)


def test_the_test_message_goes_to_its_channel_alone(acme: UUID, send: Any, hook: Hook, mailbox: Mailbox) -> None:
    channel_id, _ = channel(acme, "webhook", hook.url)
    channel(acme, "email", "a@b.test")

    channels.test(acme, channel_id)
    send()

    assert (1, 0) == (len(hook.bodies), len(mailbox.mails))
    assert "test" == json.loads(hook.bodies[0])["event"]


def test_secrets_are_sealed_anew_with_a_new_key(acme: UUID) -> None:
    channel(acme, "webhook", "https://b.test/")
    channel(acme, "email", "a@b.test")

    tally = channels.reseal(acme)

    assert (0, 1, []) == (tally.done, tally.kept, tally.lost)


def test_the_audit_trail_has_neither_secrets_nor_tokens_of_urls(acme: UUID) -> None:
    channel_id, secret = channel(acme, "webhook", "https://b.test/hook?token=first", name="before")
    channels.renew_secret(acme, channel_id)
    channels.edit(acme, channel_id, Wish(name="after", target="https://b.test/hook?token=second", events=("budget",)))
    channels.remove(acme, channel_id)

    with transaction(acme) as session:
        rows = session.execute(text("select action, before::text, after::text from audit_outbox order by 1")).all()

    written = " ".join(str(value) for row in rows if row.action.startswith("channel.") for value in row)
    assert 4 == sum(row.action.startswith("channel.") for row in rows)
    assert not [one for one in ("token", "whsec_", str(secret)) if one in written]
    assert "https://b.test/hook?…" in written
    assert '"address": "changed"' in written
