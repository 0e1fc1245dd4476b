import pytest

from app.application import applications, closing, keys
from app.units import utc_now
from app.workspace import revisions, workspaces
from app.workspace.names import NotFound
from tests.factories import unique


@pytest.fixture
def acme(app):
    assert app.testing
    return workspaces.create(unique("acme"))


def states(key_rows, known):
    return [row.active for row in key_rows(known)]


def test_proxies_learn_in_one_step_that_a_workspace_is_closed_and_open_again(acme, key_rows):
    keys.create(acme, applications.create(acme, "chatbot"), "ci", models=["*"])

    revision = revisions.current()[1]
    closing.archive(acme, now=utc_now())
    assert [False] == states(key_rows, revision)

    revision = revisions.current()[1]
    closing.restore(acme)
    assert [True] == states(key_rows, revision)


def test_what_does_not_exist_is_not_closed(acme):
    with pytest.raises(NotFound):
        closing.archive(type(acme)(int=1), now=utc_now())
