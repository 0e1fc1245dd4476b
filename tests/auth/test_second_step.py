"""Signing in with a password and a code; and with single sign-on required, by the break-glass door alone."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from app.auth import break_glass, passwords, policy, second_step, sessions, sign_in, throttle, users
from app.errors import NotAllowed
from app.extensions import transaction
from app.logging import metrics
from app.networks import Networks
from app.units import PLATFORM_ID, utc_now
from tests import directory, people
from tests.people import PASSWORD
from tests.second_factor import STEP, break_glass_admin, code, enrol, wrong

IP = "203.0.113.7"
WHERE = {"ip": IP, "user_agent": "tests"}


@pytest.fixture
def jane(app):
    assert app.testing
    return people.person(password=PASSWORD, name="Jane")


@pytest.fixture
def secret(jane):
    return enrol(jane.user_id)


@pytest.fixture
def root(app):
    """The break-glass admin, single sign-on being required."""
    assert app.testing
    admin, secret = break_glass_admin()
    directory.provider(tested_by=admin.user_id, tested_at=utc_now())
    policy.require_sso(admin.user_id, now=utc_now())
    return admin, secret


def ticket_of(person, password=PASSWORD):
    """Take the first step, which asks for the second."""
    with pytest.raises(sign_in.CodeNeeded) as needed:
        sign_in.with_password(person.email, password, now=utc_now(), **WHERE)
    return needed.value.ticket


def give(ticket, typed, now=None):
    return sign_in.with_code(ticket, typed, now=now or utc_now(), **WHERE)


def entries(action):
    statement = text(
        'select outcome, object_name, reason, ip from audit_outbox where action = :action order by "position"'
    )
    with transaction(PLATFORM_ID) as session:
        return [tuple(row) for row in session.execute(statement, {"action": action})]


def test_password_and_code_open_a_session(jane, secret):
    token = give(ticket_of(jane), code(secret))

    found = sessions.find(token, now=utc_now())
    assert found
    assert jane.user_id == found.user_id


def test_a_wrong_password_asks_for_no_code(jane, secret):
    with pytest.raises(sign_in.Wrong):
        sign_in.with_password(jane.email, "wrong horse battery", now=utc_now(), **WHERE)

    assert secret


def test_a_replayed_code_is_refused(jane, secret):
    given = code(secret)
    assert give(ticket_of(jane), given)

    with pytest.raises(sign_in.Wrong):
        give(ticket_of(jane), given)

    assert ("refused", jane.email, sign_in.WRONG_CODE) == entries("session.create")[-1][:3]


def test_a_ticket_is_worth_nothing_without_its_code_time_or_password(jane, secret):
    ticket, now = ticket_of(jane), utc_now()
    later = now + second_step.LIFE + timedelta(seconds=1)

    for typed in ("", "no ticket", ticket[:-8] + "AAAAAAAA"):
        with pytest.raises(sign_in.Expired):
            give(typed, code(secret))
    with pytest.raises(sign_in.Expired):
        give(ticket, code(secret, at=later), now=later)
    users.set_password_hash(jane.user_id, passwords.hash_of("another password of hers"))
    with pytest.raises(sign_in.Expired):
        give(ticket, code(secret))


def test_a_disabled_account_gets_no_further_than_the_first_step(jane, secret):
    ticket = ticket_of(jane)
    with transaction(PLATFORM_ID) as session:
        session.execute(text("update user_account set disabled_at = now() where user_id = :own"), {"own": jane.user_id})

    with pytest.raises(sign_in.Expired):
        give(ticket, code(secret))


def test_after_five_wrong_codes_even_the_right_one_waits(jane, secret):
    ticket = ticket_of(jane)
    for _ in range(5):
        with pytest.raises(sign_in.Wrong):
            give(ticket, wrong(secret))

    with pytest.raises(throttle.Wait):
        give(ticket, code(secret))


def test_giving_the_password_again_does_not_begin_to_count_anew(jane, secret):
    for _ in range(5):
        with pytest.raises(sign_in.Wrong):
            give(ticket_of(jane), wrong(secret))

    with pytest.raises(throttle.Wait):
        give(ticket_of(jane), code(secret))


def test_a_code_is_asked_for_after_the_password_was_hashed_anew(jane, secret):
    from argon2 import PasswordHasher

    users.set_password_hash(jane.user_id, PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD))

    assert give(ticket_of(jane), code(secret))


def test_the_break_glass_admin_gets_in_and_it_is_told_everywhere(root, caplog):
    admin, secret = root
    before = counted()

    token = give(ticket_of(admin), code(secret))

    assert sessions.find(token, now=utc_now())
    assert [("done", admin.email)] == [one[:2] for one in entries("session.break_glass")]
    assert 1 == counted() - before
    (record,) = [one for one in caplog.records if one.name == "app.auth.break_glass"]
    assert ("ERROR", admin.email, IP) == (record.levelname, record.account, record.ip)
    (use,) = break_glass.recent(now=utc_now())
    assert admin.email == use.object_name
    assert [] == break_glass.recent(now=utc_now() + timedelta(days=31))


def test_without_the_requirement_a_sign_in_alarms_nobody(jane, secret, caplog):
    before = counted()

    give(ticket_of(jane), code(secret))

    assert 0 == counted() - before
    assert [] == break_glass.recent(now=utc_now())
    assert [] == [one for one in caplog.records if one.levelname == "ERROR"]


def test_an_attempt_that_fails_alarms_nobody(root):
    admin, secret = root
    before = counted()

    with pytest.raises(sign_in.Wrong):
        give(ticket_of(admin), wrong(secret))

    assert 0 == counted() - before
    assert [] == entries("session.break_glass")


@pytest.mark.parametrize(
    ("role", "factors"), [(None, True), (None, False), ("admin", False), ("auditor", True)], ids=str
)
def test_nobody_else_gets_in_with_a_password(root, role, factors):
    person = people.person(platform_role=role, password=PASSWORD)
    if factors:
        enrol(person.user_id)

    with pytest.raises(NotAllowed) as refused:
        sign_in.with_password(person.email, PASSWORD, now=utc_now(), **WHERE)

    assert root
    assert sign_in.SSO_ONLY == refused.value.message
    assert ("refused", person.email, "single sign-on is required") == entries("session.create")[-1][:3]


def test_who_does_not_know_the_password_is_not_told_about_the_requirement(root):
    person = people.person(password=PASSWORD)

    with pytest.raises(sign_in.Wrong):
        sign_in.with_password(person.email, "wrong horse battery", now=utc_now(), **WHERE)

    assert root


def test_an_admin_by_mapping_is_no_break_glass_admin(root):
    person = people.person(password=PASSWORD)
    enrol(person.user_id)
    with transaction(PLATFORM_ID) as session:
        statement = text("update user_account set mapped_platform_role = 'admin' where user_id = :own")
        session.execute(statement, {"own": person.user_id})

    with pytest.raises(NotAllowed):
        sign_in.with_password(person.email, PASSWORD, now=utc_now(), **WHERE)

    assert root


def test_the_requirement_may_come_between_the_two_steps(jane, secret):
    ticket = ticket_of(jane)
    admin, _ = break_glass_admin()
    directory.provider(tested_by=admin.user_id, tested_at=utc_now())
    policy.require_sso(admin.user_id, now=utc_now())

    with pytest.raises(NotAllowed):
        give(ticket, code(secret))


@pytest.mark.parametrize(("networks", "gets_in"), [((), True), (("203.0.113.0/24",), True), (("10.0.0.0/8",), False)])
def test_the_wrong_network_is_refused_and_named(app, root, networks, gets_in):
    admin, secret = root
    app.extensions["settings"] = replace(app.extensions["settings"], break_glass_networks=Networks.of(networks))

    if gets_in:
        assert give(ticket_of(admin), code(secret))
        return
    with pytest.raises(NotAllowed) as refused:
        sign_in.with_password(admin.email, PASSWORD, now=utc_now(), **WHERE)
    assert IP in refused.value.message
    with pytest.raises(NotAllowed):
        give(second_step.seal(admin.email, stored_hash(admin), now=utc_now()), code(secret))


def test_the_networks_bind_nobody_while_passwords_are_allowed(app, jane, secret):
    app.extensions["settings"] = replace(app.extensions["settings"], break_glass_networks=Networks.of(["10.0.0.0/8"]))

    assert give(ticket_of(jane), code(secret, at=utc_now() + STEP))


def stored_hash(person):
    account = users.to_sign_in(person.email)
    assert account
    return account.password_hash


def counted():
    return metrics.REGISTRY.get_sample_value("gateway_break_glass_sign_ins_total")
