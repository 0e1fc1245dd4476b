import pytest
from sqlalchemy import text

from app.auth import accounts, sessions
from app.extensions import transaction
from app.units import PLATFORM_ID, utc_now
from app.workspace import pages
from app.workspace.names import Invalid, NotFound
from tests import directory, people
from tests.people import PASSWORD
from tests.second_factor import enrol

NOBODY = PLATFORM_ID

pytestmark = pytest.mark.usefixtures("app")


def page(**asked):
    return accounts.page(now=utc_now(), **asked)


def test_an_account_is_shown_with_its_ways_in():
    corp = directory.provider(name="Corp")
    jane = people.person(name="Jane", password=PASSWORD, platform_role="auditor")
    directory.identify(corp, jane.user_id)
    enrol(jane.user_id)

    (found,) = page(search="jane").items

    assert ("Jane", jane.email, "auditor") == (found.person.name, found.person.email, found.person.platform_role)
    assert [("Corp", directory.TENANT, str(jane.user_id))] == [
        (one.provider, one.tenant, one.subject) for one in found.identities
    ]
    assert (True, True, 1) == (found.has_password, bool(found.two_factor_since), found.presence.count)
    assert found.disabled_at is None
    assert found == accounts.get(jane.user_id, now=utc_now())


def test_accounts_are_found_by_name_and_by_e_mail_whatever_the_case():
    jane, john = people.person(name="Jane 50%"), people.person(name="John")

    assert [jane.user_id] == [one.person.user_id for one in page(search="JANE").items]
    assert [jane.user_id] == [one.person.user_id for one in page(search="50%").items]
    assert [john.user_id] == [one.person.user_id for one in page(search=john.email.upper()).items]
    assert [] == page(search="_%_").items


def test_pages_follow_each_other_without_gap_or_twin():
    made = sorted(people.person().email for _ in range(pages.SIZE + 3))

    first = page()
    second = page(after=first.after)

    assert made == [one.person.email for one in (*first.items, *second.items)]
    assert pages.SIZE == len(first.items)
    assert second.after is None


def test_a_disabled_account_is_shown_as_one_until_it_is_enabled():
    people.person(platform_role="admin")
    jane = people.person(password=PASSWORD)

    accounts.disable(jane.user_id, by=people.person().user_id)
    disabled = accounts.get(jane.user_id, now=utc_now())
    accounts.enable(jane.user_id)

    assert disabled.disabled_at
    assert disabled.presence is None
    assert sessions.find(jane.cookie, now=utc_now()) is None
    assert accounts.get(jane.user_id, now=utc_now()).disabled_at is None


def test_nobody_disables_himself_or_the_last_admin():
    root, jane = people.person(platform_role="admin"), people.person()

    for by in (root, jane):
        with pytest.raises(Invalid):
            accounts.disable(root.user_id, by=by.user_id)


def test_ending_somebodys_sessions_says_how_many_and_is_audited():
    jane = people.person()
    people.sign_in(jane.user_id, jane.email)

    assert 2 == accounts.end_sessions(jane.user_id)

    assert sessions.find(jane.cookie, now=utc_now()) is None
    with transaction(PLATFORM_ID) as session:
        found = session.execute(text("select action, object_id from audit_outbox")).all()
    assert [("session.delete", str(jane.user_id))] == [tuple(row) for row in found]


@pytest.mark.parametrize(
    "act",
    [
        lambda: accounts.get(NOBODY, now=utc_now()),
        lambda: accounts.end_sessions(NOBODY),
        lambda: accounts.disable(NOBODY, by=people.person().user_id),
        lambda: accounts.enable(NOBODY),
    ],
    ids=["get", "end sessions", "disable", "enable"],
)
def test_nobody_is_not_found(act):
    with pytest.raises(NotFound):
        act()
