import threading
from datetime import timedelta

import pytest
from sqlalchemy import text

from app.auth import accounts, deactivation, own_account, policy, sessions, sign_in
from app.errors import NotAllowed
from app.extensions import transaction
from app.units import PLATFORM_ID, utc_now
from app.workspace.names import Invalid
from tests import directory, people
from tests.gateway_process import eventually
from tests.locks import someone_waits
from tests.second_factor import break_glass_admin, code, enrol

NOW = utc_now()


@pytest.fixture
def root(app):
    """An admin who has the second factor and has tested single sign-on five minutes ago."""
    assert app.testing
    admin, _ = break_glass_admin()
    directory.provider(name="Corp", tested_by=admin.user_id, tested_at=NOW - timedelta(minutes=5))
    return admin


def test_a_password_that_was_on_its_way_opens_nothing_any_more(app, root):
    jane, said = people.person(password=people.PASSWORD), []
    running = len(sessions.of(jane.user_id, now=NOW))

    def come():
        with app.app_context():
            try:
                said.append(sign_in.with_password(jane.email, people.PASSWORD, ip="", user_agent="", now=NOW))
            except NotAllowed as refused:
                said.append(refused.message)

    with transaction(PLATFORM_ID):
        policy.require_sso(root.user_id, now=NOW)
        on_his_way = threading.Thread(target=come)
        on_his_way.start()
        assert eventually(lambda: someone_waits(app))
    on_his_way.join(30)

    assert [sign_in.SSO_ONLY] == said
    assert running == 1
    assert [] == sessions.of(jane.user_id, now=NOW)


def entries():
    statement = text(
        "select before, after from audit_outbox where action = 'sign_in_policy.update' order by \"position\""
    )
    with transaction(PLATFORM_ID) as session:
        return [tuple(row) for row in session.execute(statement)]


def test_passwords_work_until_somebody_requires_otherwise(app):
    assert app.testing
    assert not policy.requires_sso()


def test_after_a_test_of_his_own_an_admin_may_require_single_sign_on(root):
    policy.require_sso(root.user_id, now=NOW)

    assert policy.requires_sso()
    assert NOW == policy.current().changed_at
    assert "Corp" == policy.test_of(root.user_id, now=NOW)


@pytest.mark.parametrize(
    "test",
    [
        pytest.param({"tested_at": NOW - timedelta(minutes=10)}, id="too long ago"),
        pytest.param({"tested_by": None, "tested_at": None}, id="none"),
        pytest.param({"disabled_at": NOW}, id="of a provider that is disabled"),
    ],
)
def test_without_a_recent_test_it_is_refused(app, test):
    admin, _ = break_glass_admin()
    directory.provider(**{"tested_by": admin.user_id, "tested_at": NOW} | test)

    with pytest.raises(Invalid) as refused:
        policy.require_sso(admin.user_id, now=NOW)

    assert app.testing
    assert "test" == refused.value.field
    assert not policy.requires_sso()


def test_the_test_of_another_admin_does_not_count(root):
    other = people.person(platform_role="admin")

    with pytest.raises(Invalid) as refused:
        policy.require_sso(other.user_id, now=NOW)

    assert root
    assert "test" == refused.value.field


@pytest.mark.parametrize(
    "lacks",
    [
        pytest.param("password_hash = null", id="password"),
        pytest.param("totp_confirmed_at = null", id="second factor"),
        pytest.param("granted_platform_role = null, mapped_platform_role = 'admin'", id="role by hand"),
        pytest.param("disabled_at = now()", id="open account"),
    ],
)
def test_without_a_break_glass_admin_it_is_refused(root, lacks):
    tester = people.person(platform_role="admin")
    directory.provider(tested_by=tester.user_id, tested_at=NOW)
    with transaction(PLATFORM_ID) as session:
        session.execute(text(f"update user_account set {lacks} where user_id = :own"), {"own": root.user_id})

    with pytest.raises(Invalid) as refused:
        policy.require_sso(tester.user_id, now=NOW)

    assert "admin" == refused.value.field


def test_sessions_that_began_with_a_password_end_but_the_admins_own(root):
    jane, provider = people.person(), directory.provider()
    about = {"ip": "127.0.0.1", "user_agent": "tests", "now": NOW, "method": "sso", "provider_id": provider}
    by_sso = sessions.start(jane.user_id, **about)

    ended = policy.require_sso(root.user_id, now=NOW)

    assert 1 == ended
    assert sessions.find(jane.cookie, now=NOW) is None
    assert sessions.find(by_sso, now=NOW)
    assert sessions.find(root.cookie, now=NOW)


def test_both_changes_are_audited_once(root):
    for _ in range(2):
        policy.require_sso(root.user_id, now=NOW)
    for was_required in (True, False):
        assert was_required == policy.allow_passwords(now=NOW)

    on, off = {"require_sso": True}, {"require_sso": False}
    assert [(off, on), (on, off)] == entries()


def test_the_only_one_who_can_break_the_glass_stays(root):
    people.person(platform_role="admin")
    policy.require_sso(root.user_id, now=NOW)

    with pytest.raises(Invalid):
        deactivation.deactivate(root.user_id)

    assert accounts.get(root.user_id, now=NOW).disabled_at is None


def test_he_keeps_his_second_factor_too(app):
    admin, secret = break_glass_admin()
    directory.provider(tested_by=admin.user_id, tested_at=NOW)
    policy.require_sso(admin.user_id, now=NOW)
    person = accounts.get(admin.user_id, now=NOW).person

    with pytest.raises(Invalid) as refused:
        own_account.turn_off_two_factor(person, people.PASSWORD, code(secret), ip="127.0.0.1", now=utc_now())

    assert app.testing
    assert "account" == refused.value.field
    assert accounts.get(admin.user_id, now=NOW).two_factor_since


def test_with_a_second_one_either_may_go(root):
    other, _ = break_glass_admin()
    policy.require_sso(root.user_id, now=NOW)

    deactivation.deactivate(root.user_id)

    assert accounts.get(root.user_id, now=NOW).disabled_at
    with pytest.raises(Invalid):
        deactivation.deactivate(other.user_id)


def test_who_is_no_break_glass_admin_may_go_at_any_time(root):
    jane = people.person(password=people.PASSWORD)
    enrol(jane.user_id)
    policy.require_sso(root.user_id, now=NOW)

    deactivation.deactivate(jane.user_id)

    assert accounts.get(jane.user_id, now=NOW).disabled_at
