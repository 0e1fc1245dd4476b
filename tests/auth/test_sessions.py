from datetime import timedelta

import pytest
from sqlalchemy import text, update

from app.auth import sessions, users
from app.auth.tables import UserRow
from app.extensions import transaction
from app.units import PLATFORM_ID, utc_now
from tests import directory
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

    assert sessions.form_tokens(first)[0] == sessions.form_tokens(first)[0]
    assert sessions.form_tokens(first)[0] != sessions.form_tokens(second)[0]
    assert first not in sessions.form_tokens(first)[0]


def test_a_persons_sessions_are_listed_with_the_one_that_asks(jane):
    john = users.create(f"{unique('john')}@example.test", "John", "no hash")
    start(john)
    start(jane, now=NOW - 3 * HOUR)
    older, this = start(jane, now=NOW - MINUTE), start(jane)

    found = sessions.of(jane, now=NOW, token=this)

    assert [(NOW, True), (NOW - MINUTE, False)] == [(one.last_seen_at, one.is_this) for one in found]
    assert [("127.0.0.1", "tests", "password", None)] * 2 == [
        (one.ip, one.user_agent, one.method, one.provider_id) for one in found
    ]
    assert older not in str(found)
    assert [False, False] == [one.is_this for one in sessions.of(jane, now=NOW)]


def test_one_session_is_ended_by_its_name_and_only_its_owners(jane):
    john = users.create(f"{unique('john')}@example.test", "John", "no hash")
    theirs, mine, kept = start(john), start(jane, now=NOW - MINUTE), start(jane)
    (their_id,) = [one.session_id for one in sessions.of(john, now=NOW)]
    my_id = sessions.of(jane, now=NOW)[-1].session_id

    assert not sessions.end_one(jane, their_id, name="jane")
    assert sessions.end_one(jane, my_id, name="jane")
    assert not sessions.end_one(jane, my_id, name="jane")

    assert sessions.find(theirs, now=NOW)
    assert sessions.find(kept, now=NOW)
    assert sessions.find(mine, now=NOW) is None


def test_the_other_sessions_end_and_this_one_stays(jane):
    john = users.create(f"{unique('john')}@example.test", "John", "no hash")
    theirs, this, *others = start(john), start(jane), start(jane), start(jane)

    assert 2 == sessions.end_others_of(jane, this, name="jane")

    assert sessions.find(this, now=NOW)
    assert sessions.find(theirs, now=NOW)
    assert [None, None] == [sessions.find(one, now=NOW) for one in others]


def test_a_provider_ends_what_began_with_its_session_and_nothing_else(jane):
    corp, other = directory.provider(), directory.provider()
    about = {"ip": "127.0.0.1", "user_agent": "tests", "now": NOW, "method": "sso"}
    meant = sessions.start(jane, **about, provider_id=corp, sid="one")
    kept = [
        sessions.start(jane, **about, provider_id=corp, sid="two"),
        sessions.start(jane, **about, provider_id=other, sid="one"),
        start(jane),
    ]

    sessions.end_by_sid(corp, "one")

    assert sessions.find(meant, now=NOW) is None
    assert all(sessions.find(one, now=NOW) for one in kept)


def test_everybody_can_be_signed_out(jane):
    john = users.create(f"{unique('john')}@example.test", "John", "no hash")
    tokens = [start(jane), start(john)]

    assert 2 == sessions.end_all()

    assert [None, None] == [sessions.find(one, now=NOW) for one in tokens]


def test_presences_count_what_runs(jane):
    john, nobody = (users.create(f"{unique('john')}@example.test", "John", "no hash") for _ in range(2))
    start(jane, now=NOW - 3 * HOUR)
    start(jane, now=NOW - MINUTE)
    start(jane)
    start(john)

    found = sessions.presences([jane, john, nobody], now=NOW)

    assert {jane: sessions.Presence(2, NOW), john: sessions.Presence(1, NOW)} == found


def test_ending_by_hand_is_audited_and_ending_nothing_is_not(jane):
    start(jane)
    for _ in range(2):
        sessions.sign_out(jane, name="jane@example.test")

    with transaction(PLATFORM_ID) as session:
        statement = text("select object_name, after from audit_outbox where action = 'session.delete'")
        assert [("jane@example.test", {"ended": 1})] == [tuple(row) for row in session.execute(statement)]
