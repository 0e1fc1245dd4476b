"""The pages of channels, and the delivery log."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from sqlalchemy import text

from app.crypto import Vault
from app.extensions import transaction
from app.units import utc_now
from app.workspace import channels, courier, deliveries
from app.workspace.courier import Courier
from app.workspace.outbound import Rules
from app.workspace.senders import Means
from tests import people, receivers
from tests.console import reading

SECRET_KEY = "a-secret-for-tests-of-enough-length"


@pytest.fixture
def admin(app, acme):
    return people.member(acme, "admin").client(app)


@pytest.fixture
def send(fresh_database, redis_url):
    """One round of the courier."""
    engine, client = courier.engine(fresh_database.ingest_url), redis.Redis.from_url(redis_url)
    means = Means(vault=Vault.of(SECRET_KEY), rules=Rules(private_allowed=True))
    with ThreadPoolExecutor(1) as pool:
        yield lambda: Courier(engine, client, means).turn(pool, utc_now())
    engine.dispose()
    client.close()


def fill(browser, acme, kind, **typed):
    """Fill the form in as a person does."""
    form = reading.form(browser.get(f"/w/{acme}/channels/new?kind={kind}"), f"/w/{acme}/channels")
    return browser.post(f"/w/{acme}/channels", form.values(**{"name": "ours"} | typed))


def test_a_webhook_shows_its_secret_once(acme, admin):
    answer = fill(admin, acme, "webhook", target="https://hooks.example.test/gateway")

    (found,) = channels.all_of(acme)
    assert 200 == answer.status_code
    assert "whsec_" in answer.text
    assert ("webhook", ("budget",), True) == (found.kind, found.events, found.enabled)
    for page in (f"/w/{acme}/channels", f"/w/{acme}/channels/{found.channel_id}"):
        assert "whsec_" not in admin.get(page).text


def test_a_new_secret_is_another(acme, admin):
    first = fill(admin, acme, "webhook", target="https://hooks.example.test/gateway").text
    (found,) = channels.all_of(acme)

    second = admin.post(f"/w/{acme}/channels/{found.channel_id}/secret").text

    assert _secret(first) != _secret(second)


def test_a_slack_address_is_not_shown_again(acme, admin):
    answer = fill(admin, acme, "slack", target="https://hooks.slack.test/services/verysecretword")
    (found,) = channels.all_of(acme)
    address = f"/w/{acme}/channels/{found.channel_id}"

    assert (303, address) == (answer.status_code, answer.headers["Location"])
    pages = [admin.get(page).text for page in (address, f"/w/{acme}/channels")]
    assert not any("verysecret" in page for page in pages)
    assert all("hooks.slack.test/…word" in page for page in pages)
    assert 303 == admin.post(address, reading.form(admin.get(address), address).values(name="renamed")).status_code
    assert "hooks.slack.test/…word" == channels.get(acme, found.channel_id).target


@pytest.mark.parametrize(
    ("kind", "typed", "said"),
    [
        ("email", {"target": "nobody"}, "is no e-mail address"),
        ("webhook", {"target": "ftp://b.test"}, "must be an address such as"),
        ("teams", {"target": ""}, "must be an address such as"),
        ("email", {"target": "a@b.test", "events": ""}, "must be at least one"),
        ("email", {"target": "a@b.test", "name": ""}, "must have 1 to 200 characters"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(acme, admin, kind, typed, said):
    answer = fill(admin, acme, kind, **typed)

    assert 422 == answer.status_code
    assert said in reading.text(answer)
    assert [] == channels.all_of(acme)


def test_without_a_mail_server_the_page_says_so(acme, admin):
    fill(admin, acme, "email", target="a@b.test")

    assert "has no mail server" in reading.text(admin.get(f"/w/{acme}/channels"))


def test_a_test_is_sent_logged_and_sent_once_more(acme, admin, send):
    with receivers.hook() as hook:
        fill(admin, acme, "webhook", target=hook.url)
        (found,) = channels.all_of(acme)
        answer = admin.post(f"/w/{acme}/channels/{found.channel_id}/test")
        waiting = reading.text(admin.get(f"/w/{acme}/deliveries?channel={found.channel_id}"))
        send()
        sent = reading.text(admin.get(f"/w/{acme}/deliveries?state=sent"))
        (one,) = deliveries.page(acme).items
        admin.post(f"/w/{acme}/deliveries/{one.delivery_id}/replay")
        send()

    assert f"/w/{acme}/deliveries?channel={found.channel_id}" == answer.headers["Location"]
    assert "waiting" in waiting
    assert "200 OK" in sent
    assert ["test", "test"] == [json.loads(body)["event"] for body in hook.bodies]


def test_a_channel_that_is_off_sends_no_test(acme, admin):
    fill(admin, acme, "email", target="a@b.test", enabled="")
    (found,) = channels.all_of(acme)

    admin.post(f"/w/{acme}/channels/{found.channel_id}/test")

    assert [] == deliveries.page(acme).items


def test_what_waits_for_a_channel_that_is_off_is_on_hold(acme, admin):
    fill(admin, acme, "email", target="a@b.test")
    (found,) = channels.all_of(acme)
    address = f"/w/{acme}/channels/{found.channel_id}"
    admin.post(f"{address}/test")
    admin.post(address, reading.form(admin.get(address), address).values(enabled=""))

    assert "on hold channel is off" in reading.text(admin.get(f"/w/{acme}/deliveries"))


def test_the_log_has_pages(acme, admin):
    fill(admin, acme, "email", target="a@b.test")
    (found,) = channels.all_of(acme)
    with transaction(acme) as session:
        session.execute(
            text(
                "insert into delivery (workspace_id, delivery_id, channel_id, event, about, payload)"
                " select :w, gen_random_uuid(), :c, 'test', n::text, jsonb_build_object('title', 'message ' || n)"
                " from generate_series(1, 60) n"
            ),
            {"w": acme, "c": found.channel_id},
        )

    first = admin.get(f"/w/{acme}/deliveries")
    page = deliveries.page(acme)
    second = admin.get(f"/w/{acme}/deliveries?after={page.after}")

    assert (50, 10) == tuple(one.text.count("message ") for one in (first, second))


@pytest.mark.parametrize("role", ["developer", "billing", "viewer"])
def test_only_admins_see_channels(app, acme, role):
    somebody = people.member(acme, role).client(app)

    assert 403 == somebody.get(f"/w/{acme}/channels").status_code
    assert 403 == somebody.get(f"/w/{acme}/deliveries").status_code
    assert 403 == somebody.post(f"/w/{acme}/channels").status_code


def _secret(page: str) -> str:
    return page.partition("whsec_")[2].partition("<")[0]
