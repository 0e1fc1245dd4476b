"""`flask reset-totp`, `end-sessions` and `allow-passwords`."""

import pytest
from sqlalchemy import text

from app.auth import policy, sessions, sign_in
from app.extensions import transaction
from app.units import PLATFORM_ID, utc_now
from tests import directory, people, second_factor
from tests.people import PASSWORD
from tests.second_factor import break_glass_admin, enrol


@pytest.fixture
def run(app):
    def command(*arguments):
        return app.test_cli_runner().invoke(args=list(arguments))

    return command


def required():
    """Require single sign-on; give the admin who can break the glass."""
    admin, _ = break_glass_admin()
    directory.provider(tested_by=admin.user_id, tested_at=utc_now())
    policy.require_sso(admin.user_id, now=utc_now())
    return admin


def entries():
    with transaction(PLATFORM_ID) as session:
        rows = session.execute(text('select action, actor_name from audit_outbox order by "position"'))
        return [tuple(row) for row in rows]


def test_who_has_lost_the_app_gets_in_with_the_password_again(run):
    jane = people.person(password=PASSWORD)
    enrol(jane.user_id)

    result = run("reset-totp", jane.email.upper())

    assert (0, f"Two-factor sign-in of {jane.email.upper()} is off.\n") == (result.exit_code, result.output)
    assert second_factor.counts_since(jane.user_id) is None
    assert sign_in.with_password(jane.email, PASSWORD, ip="127.0.0.1", user_agent="tests", now=utc_now())
    assert ("two_factor.delete", "reset-totp") in entries()


def test_resetting_what_is_not_there_says_so(run):
    jane = people.person()

    assert f"{jane.email} had no two-factor sign-in.\n" == run("reset-totp", jane.email).output


def test_the_operator_is_told_when_nobody_can_break_the_glass_any_more(run):
    admin = required()

    output = run("reset-totp", admin.email).output

    assert "nobody can get in without it now" in output
    assert policy.requires_sso()


def test_one_persons_sessions_end(run):
    jane, john = people.person(), people.person()

    result = run("end-sessions", jane.email)

    assert (0, f"Sessions of {jane.email} ended: 1.\n") == (result.exit_code, result.output)
    assert sessions.find(jane.cookie, now=utc_now()) is None
    assert sessions.find(john.cookie, now=utc_now())
    assert [("session.delete", "end-sessions")] == entries()


def test_everybodys_sessions_end(run):
    everybody = [people.person(), people.person()]

    result = run("end-sessions")

    assert (0, "Sessions of everybody ended: 2.\n") == (result.exit_code, result.output)
    assert [None, None] == [sessions.find(one.cookie, now=utc_now()) for one in everybody]
    assert [("session.delete", "end-sessions")] == entries()


@pytest.mark.parametrize("command", ["reset-totp", "end-sessions"])
def test_an_unknown_address_is_named(run, command):
    result = run(command, "nobody@example.test")

    assert result.exit_code == 1
    assert "There is no account 'nobody@example.test'." in result.output


def test_passwords_can_be_allowed_from_the_shell(run):
    required()

    outputs = [run("allow-passwords").output for _ in range(2)]

    assert ["Passwords work again.\n", "Single sign-on was not required.\n"] == outputs
    assert not policy.requires_sso()
    assert 1 == entries().count(("sign_in_policy.update", "allow-passwords"))
