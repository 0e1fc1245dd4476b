import pytest
from sqlalchemy import text

from app.auth import own_account, sessions, sign_in, throttle, totp
from app.extensions import transaction
from app.units import PLATFORM_ID, utc_now
from app.workspace.names import Invalid
from tests import people, second_factor
from tests.people import PASSWORD
from tests.second_factor import code, enrol, wrong

NEW = "another horse battery"


@pytest.fixture
def jane(app):
    assert app.testing
    return people.person(password=PASSWORD, name="Jane")


@pytest.fixture
def me(jane):
    found = sessions.find(jane.cookie, now=utc_now())
    assert found
    return found


def now():
    return {"ip": "203.0.113.7", "now": utc_now()}


def change(me, jane, current=PASSWORD, new=NEW):
    return own_account.change_password(me, current, new, session_token=jane.cookie, **now())


def opens(person, password):
    try:
        return bool(sign_in.with_password(person.email, password, user_agent="tests", **now()))
    except sign_in.Wrong:
        return False


def actions():
    with transaction(PLATFORM_ID) as session:
        return session.scalars(text('select action from audit_outbox order by "position"')).all()


def test_a_new_password_opens_and_the_old_one_does_not(jane, me):
    change(me, jane)

    assert opens(jane, NEW)
    assert not opens(jane, PASSWORD)


def test_a_new_password_ends_the_other_sessions(jane, me):
    other = people.sign_in(jane.user_id, jane.email)

    assert 1 == change(me, jane)

    assert sessions.find(jane.cookie, now=utc_now())
    assert sessions.find(other.cookie, now=utc_now()) is None
    assert ["password.update", "session.delete"] == actions()


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("wrong horse battery", NEW, "password"),
        ("", NEW, "password"),
        (PASSWORD, "short", "new_password"),
        (PASSWORD, "a" * 20, "new_password"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(jane, me, current, new, field):
    with pytest.raises(Invalid) as refused:
        change(me, jane, current, new)

    assert field == refused.value.field
    assert opens(jane, PASSWORD)


def test_the_password_is_not_guessed_from_an_open_browser(jane, me):
    for _ in range(5):
        with pytest.raises(Invalid):
            change(me, jane, "wrong horse battery")

    with pytest.raises(throttle.Wait):
        change(me, jane)
    with pytest.raises(throttle.Wait):
        own_account.begin_two_factor(me, PASSWORD, **now())


def test_an_account_of_an_identity_provider_has_no_password_to_change(app):
    person = people.person()
    found = sessions.find(person.cookie, now=utc_now())

    assert found
    for act in (lambda: change(found, person), lambda: own_account.begin_two_factor(found, "", **now())):
        with pytest.raises(Invalid):
            act()
    assert app.testing


def test_setting_up_a_second_factor_asks_for_the_password(jane, me):
    with pytest.raises(Invalid):
        own_account.begin_two_factor(me, "wrong horse battery", **now())
    assert totp.pending(jane.user_id) is None

    own_account.begin_two_factor(me, PASSWORD, **now())

    assert totp.pending(jane.user_id)


def test_first_codes_are_not_guessed(jane, me):
    own_account.begin_two_factor(me, PASSWORD, **now())
    waiting = totp.pending(jane.user_id)
    assert waiting
    for _ in range(5):
        with pytest.raises(Invalid):
            own_account.confirm_two_factor(me, wrong(waiting.secret), **now())

    with pytest.raises(throttle.Wait):
        own_account.confirm_two_factor(me, code(waiting.secret), **now())
    assert second_factor.counts_since(jane.user_id) is None


def test_turning_it_off_takes_password_and_code(jane, me):
    secret = enrol(jane.user_id)
    for password, given, field in (
        ("wrong horse battery", code(secret), "password"),
        (PASSWORD, wrong(secret), "code"),
        (PASSWORD, "", "code"),
    ):
        with pytest.raises(Invalid) as refused:
            own_account.turn_off_two_factor(me, password, given, **now())
        assert field == refused.value.field
    assert second_factor.counts_since(jane.user_id)

    own_account.turn_off_two_factor(me, PASSWORD, code(secret), **now())

    assert second_factor.counts_since(jane.user_id) is None


def test_codes_are_not_guessed_by_turning_it_off(jane, me):
    secret = enrol(jane.user_id)
    for _ in range(5):
        with pytest.raises(Invalid):
            own_account.turn_off_two_factor(me, PASSWORD, wrong(secret), **now())

    with pytest.raises(throttle.Wait):
        own_account.turn_off_two_factor(me, PASSWORD, code(secret), **now())
