from datetime import timedelta

import pytest
from sqlalchemy import text, update

from app.auth import sessions, users
from app.auth.tables import UserRow
from app.extensions import transaction
from app.units import PLATFORM_ID, utc_now
from tests.factories import unique

NOW = utc_now()
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def jane(app):
    assert app.testing
    return users.create(f"{unique('jane')}@example.test", "Jane", "no hash")


def start(user_id, now=NOW):
    return sessions.start(user_id, ip="127.0.0.1", user_agent="tests", now=now)


def rows():
    with transaction(PLATFORM_ID) as session:
        return session.execute(text("select * from console_session")).mappings().all()


def test_a_session_is_found_by_its_cookie_and_by_nothing_else(jane):
    token = start(jane)

    found = sessions.find(token, now=NOW)

    assert found
    assert (jane, "Jane", None) == (found.user_id, found.name, found.platform_role)
    assert sessions.find(token + "x", now=NOW) is None
    assert sessions.find("", now=NOW) is None


def test_the_table_holds_a_hash_and_not_the_cookie(jane):
    token = start(jane)

    assert len(rows()) == 1
    assert token not in str(rows())
    assert token.encode() not in rows()[0]["id_hash"]
    assert 32 == len(rows()[0]["id_hash"])


def test_a_session_ends_two_hours_after_it_was_last_used(jane):
    token = start(jane)

    assert sessions.find(token, now=NOW + 2 * HOUR - MINUTE)
    assert sessions.find(token, now=NOW + 4 * HOUR - 2 * MINUTE)
    assert sessions.find(token, now=NOW + 6 * HOUR) is None


def test_a_session_ends_twelve_hours_after_it_began_however_busy_it_is(jane):
    token = start(jane)
    for hour in range(1, 12):
        assert sessions.find(token, now=NOW + hour * HOUR)

    assert sessions.find(token, now=NOW + 12 * HOUR - MINUTE)
    assert sessions.find(token, now=NOW + 12 * HOUR) is None


def test_being_seen_is_written_once_a_minute(jane):
    token = start(jane)

    sessions.find(token, now=NOW + timedelta(seconds=59))
    assert rows()[0]["last_seen_at"] == NOW
    sessions.find(token, now=NOW + MINUTE)
    assert rows()[0]["last_seen_at"] == NOW + MINUTE


def test_bc_094_an_ended_session_is_ended_wherever_its_cookie_is(jane):
    first, second = start(jane), start(jane)

    sessions.end(first)

    assert sessions.find(first, now=NOW) is None
    assert sessions.find(second, now=NOW)
    sessions.end_all_of(jane)
    assert sessions.find(second, now=NOW) is None


def test_a_disabled_account_has_no_session(jane):
    token = start(jane)
    with transaction(PLATFORM_ID) as session:
        session.execute(update(UserRow).where(UserRow.user_id == jane).values(disabled_at=NOW))

    assert sessions.find(token, now=NOW) is None


def test_sessions_that_are_over_are_cleared_away_by_the_next_one(jane):
    start(jane, now=NOW - 13 * HOUR)
    start(jane)

    assert len(rows()) == 1


def test_form_tokens_belong_to_one_session_and_tell_nothing_of_it(jane):
    first, second = start(jane), start(jane)

    assert sessions.form_token(first) == sessions.form_token(first)
    assert sessions.form_token(first) != sessions.form_token(second)
    assert first not in sessions.form_token(first)
