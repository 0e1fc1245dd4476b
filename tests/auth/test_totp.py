from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from sqlalchemy import text

from app.auth import totp, users
from app.crypto import Vault
from app.extensions import db, transaction
from app.units import PLATFORM_ID
from app.workspace.names import Invalid
from tests import second_factor
from tests.factories import unique
from tests.second_factor import STEP, code, enrol, wrong

NOW = datetime(2026, 11, 25, 9, 0, 10, tzinfo=UTC)


@pytest.fixture
def jane(app):
    assert app.testing
    return users.create(f"{unique('jane')}@example.test", "Jane", "no hash")


def stored(user_id):
    statement = text("select totp_sealed, totp_confirmed_at, totp_last_step from user_account where user_id = :own")
    with transaction(PLATFORM_ID) as session:
        return session.execute(statement, {"own": user_id}).one()


def actions():
    with transaction(PLATFORM_ID) as session:
        found = session.scalars(text("select action from audit_outbox order by occurred_at, audit_id"))
        return [one for one in found if one.startswith("two_factor.")]


def test_an_app_reads_issuer_account_and_secret(jane):
    totp.begin(jane)

    waiting = totp.pending(jane)

    assert waiting
    parts = urlsplit(waiting.address)
    assert ("otpauth", "totp") == (parts.scheme, parts.netloc)
    assert unquote(parts.path).startswith("/LLM Gateway:jane")
    assert [waiting.secret] == parse_qs(parts.query)["secret"]
    assert waiting.secret not in repr(waiting)


def test_a_secret_counts_once_a_code_of_it_was_given(jane):
    totp.begin(jane)
    waiting = totp.pending(jane)
    assert waiting

    assert not totp.accept(jane, code(waiting.secret, at=NOW), now=NOW)
    assert not totp.confirm(jane, wrong(waiting.secret, at=NOW), now=NOW)
    assert second_factor.counts_since(jane) is None
    assert totp.confirm(jane, code(waiting.secret, at=NOW), now=NOW)

    assert NOW == second_factor.counts_since(jane)
    assert totp.pending(jane) is None
    assert totp.accept(jane, code(waiting.secret, at=NOW + STEP), now=NOW + STEP)


def test_a_confirmed_secret_is_not_replaced_and_a_waiting_one_is(jane):
    totp.begin(jane)
    first = totp.pending(jane)
    totp.begin(jane)
    second = totp.pending(jane)
    assert first
    assert second
    totp.confirm(jane, code(second.secret, at=NOW), now=NOW)

    with pytest.raises(Invalid):
        totp.begin(jane)

    assert first.secret != second.secret
    assert not totp.accept(jane, code(first.secret, at=NOW + STEP), now=NOW + STEP)


def test_the_first_code_opens_nothing_a_second_time(jane):
    totp.begin(jane)
    waiting = totp.pending(jane)
    assert waiting
    first = code(waiting.secret, at=NOW)

    assert totp.confirm(jane, first, now=NOW)
    assert not totp.accept(jane, first, now=NOW)


def test_a_code_is_good_once_and_so_are_those_before_it(jane):
    secret = enrol(jane, now=NOW)
    before, given = code(secret, at=NOW - STEP), code(secret, at=NOW)

    assert totp.accept(jane, given, now=NOW)

    assert not totp.accept(jane, given, now=NOW)
    assert not totp.accept(jane, given, now=NOW + STEP)
    assert not totp.accept(jane, before, now=NOW)
    assert totp.accept(jane, code(secret, at=NOW + STEP), now=NOW + STEP)


def test_of_many_who_give_one_code_at_once_one_gets_in(app, jane):
    secret = enrol(jane, now=NOW)
    given = code(secret, at=NOW)

    def give(_):
        with app.app_context():
            found = totp.accept(jane, given, now=NOW)
            db.session.remove()
            return found

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(give, range(8)))

    assert [True] == [one for one in answers if one]


@pytest.mark.parametrize(("off_by", "is_right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clocks_may_differ_by_a_step(jane, off_by, is_right):
    secret = enrol(jane, now=NOW)

    assert is_right == totp.accept(jane, code(secret, at=NOW + off_by * STEP), now=NOW)


@pytest.mark.parametrize("shape", ["", "12345", "abcdef", "\uff11" * 6, "1" * 400, "\0"])
def test_what_is_no_code_is_wrong(jane, shape):
    enrol(jane, now=NOW)

    assert not totp.accept(jane, shape, now=NOW)


def test_a_code_may_be_typed_with_a_space_in_it(jane):
    digits = code(enrol(jane, now=NOW), at=NOW)

    assert totp.accept(jane, f" {digits[:3]} {digits[3:]} ", now=NOW)


def test_the_secret_is_sealed_for_its_account(jane):
    other = users.create(f"{unique('john')}@example.test", "John", "no hash")
    secret = enrol(jane, now=NOW)
    with transaction(PLATFORM_ID) as session:
        copied = text(
            "update user_account set totp_confirmed_at = now(), totp_sealed ="
            " (select totp_sealed from user_account where user_id = :jane) where user_id = :other"
        )
        session.execute(copied, {"jane": jane, "other": other})

    assert secret.encode() not in stored(jane)[0]
    assert not totp.accept(other, code(secret, at=NOW), now=NOW)


def test_a_secret_of_another_secret_key_is_wrong_and_said_in_the_log(app, jane, caplog):
    secret = enrol(jane, now=NOW)
    app.extensions["vault"] = Vault.of("another-secret-for-tests-long-enough")

    assert not totp.accept(jane, code(secret, at=NOW), now=NOW)

    assert ["a two-factor secret cannot be opened: reset it"] == [one.message for one in caplog.records]
    assert secret not in caplog.text


def test_turned_off_nothing_is_left(jane):
    secret = enrol(jane, now=NOW)

    assert totp.turn_off(jane)

    assert (None, None, None) == tuple(stored(jane))
    assert not totp.accept(jane, code(secret, at=NOW), now=NOW)
    assert not totp.turn_off(jane)
    assert ["two_factor.begin", "two_factor.confirm", "two_factor.delete"] == actions()


def test_the_audit_trail_has_no_secret(jane):
    secret = second_factor.enrol(jane, now=NOW)

    with transaction(PLATFORM_ID) as session:
        rows = session.execute(text("select t::text from audit_outbox t")).scalars().all()

    assert rows
    assert secret not in str(rows)
