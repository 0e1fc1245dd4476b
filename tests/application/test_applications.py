import pytest

from app.application import applications, keys
from app.units import utc_now
from app.workspace import workspaces
from app.workspace.names import Invalid, NotFound

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def acme():
    return workspaces.create("acme")


def test_an_application_is_found_by_its_name_with_its_cost_centre(acme):
    application_id = applications.create(acme, "chatbot", cost_centre="4711")

    applications.update(acme, application_id, cost_centre="4712")

    found = applications.by_name(acme, "chatbot")
    assert (application_id, "4712") == (found.application_id, found.cost_centre)


@pytest.mark.parametrize(("name", "cost_centre"), [("chatbot", None), ("=x", None), ("b", "-1"), ("b", "x" * 101)])
def test_a_taken_name_and_bad_values_are_refused(acme, name, cost_centre):
    applications.create(acme, "chatbot")

    with pytest.raises(Invalid):
        applications.create(acme, name, cost_centre=cost_centre)


def test_an_application_of_one_workspace_is_not_there_for_another(acme):
    application_id, other = applications.create(acme, "chatbot"), workspaces.create("other")

    assert applications.all_of(other) == []
    with pytest.raises(NotFound):
        applications.update(other, application_id, cost_centre="1")
    with pytest.raises(NotFound):
        keys.create(other, application_id, "ci", models=["*"])


def test_archiving_an_application_tells_the_proxies_about_its_keys(acme, key_rows):
    application_id = applications.create(acme, "chatbot")
    keys.create(acme, application_id, "ci", models=["*"])
    known = max(row.revision for row in key_rows(0))

    applications.archive(acme, application_id, now=utc_now())
    archived = key_rows(known)
    applications.revive(acme, application_id)

    assert [row.active for row in archived] == [False]
    assert [row.active for row in key_rows(archived[0].revision)] == [True]
