"""Whom a key belongs to, on the pages of keys."""

import threading
from contextvars import Context

import psycopg
import pytest

from app.application import applications, keys
from app.auth import deactivation, key_owners
from app.workspace.names import Invalid
from tests import people
from tests.console import reading
from tests.gateway_process import eventually


@pytest.fixture
def chatbot(acme):
    return applications.create(acme, "chatbot")


@pytest.fixture
def jane(acme):
    return people.member(acme, "viewer", name="Jane Doe")


@pytest.fixture
def developer(app, acme):
    return people.member(acme, "developer").client(app)


def root(workspace_id):
    return f"/w/{workspace_id}/keys"


def make(browser, workspace_id, application_id, **fields):
    form = reading.form(browser.get(f"{root(workspace_id)}/new"), root(workspace_id))
    return browser.post(root(workspace_id), form.values(**{"name": "ci", "application": application_id} | fields))


def edit(browser, workspace_id, key_id, **fields):
    address = f"{root(workspace_id)}/{key_id}"
    return browser.post(address, reading.form(browser.get(address), address).values(**fields))


def only(workspace_id):
    (found,) = keys.all_of(workspace_id)
    return found


def test_a_key_belongs_to_nobody_unless_somebody_is_chosen(acme, chatbot, developer):
    make(developer, acme, chatbot)

    assert only(acme).owner_id is None


def test_the_owner_is_chosen_among_members_and_shown(acme, chatbot, jane, developer):
    stranger = people.person(name="Stranger")

    form = developer.get(f"{root(acme)}/new")
    make(developer, acme, chatbot, owner=str(jane.user_id))

    assert f"Jane Doe, {jane.email}" in reading.text(form)
    assert stranger.email not in reading.text(form)
    assert jane.user_id == only(acme).owner_id
    assert "Jane Doe" in reading.text(developer.get(root(acme)))
    assert "Jane Doe" in reading.text(
        people.member(acme, "viewer").client(developer.client.application).get(f"{root(acme)}/{only(acme).key_id}")
    )


@pytest.mark.parametrize("who", ["stranger", "leaver", "nonsense"])
def test_nobody_else_can_be_an_owner(acme, chatbot, jane, developer, who):
    deactivation.deactivate(jane.user_id)
    owner = {"stranger": people.person().user_id, "leaver": jane.user_id, "nonsense": "jane"}[who]

    answer = make(developer, acme, chatbot, owner=str(owner))

    assert 422 == answer.status_code
    assert "must be a member of this workspace" in reading.text(answer)
    assert [] == keys.all_of(acme)


def test_the_key_of_a_leaver_is_shown_as_suspended_and_can_be_given_to_somebody_else(acme, chatbot, jane, developer):
    heir = people.member(acme, "developer", name="Joy Young")
    make(developer, acme, chatbot, owner=str(jane.user_id))
    deactivation.deactivate(jane.user_id)

    listed, page = developer.get(root(acme)), developer.get(f"{root(acme)}/{only(acme).key_id}")
    renamed = edit(developer, acme, only(acme).key_id, name="renamed")
    assert all("suspended" in reading.text(one) for one in (listed, page))
    assert (303, jane.user_id) == (renamed.status_code, only(acme).owner_id)
    assert only(acme).suspended_at

    edit(developer, acme, only(acme).key_id, owner=str(heir.user_id))
    assert (heir.user_id, None) == (only(acme).owner_id, only(acme).suspended_at)


def test_a_form_without_the_field_leaves_the_owner(acme, chatbot, jane, developer):
    make(developer, acme, chatbot, owner=str(jane.user_id))
    address = f"{root(acme)}/{only(acme).key_id}"

    developer.post(address, {"name": "renamed", "models": "*"})

    assert ("renamed", jane.user_id) == (only(acme).name, only(acme).owner_id)


def test_a_key_made_while_its_owner_is_deactivated_is_never_left_working(app, acme, chatbot, jane, fresh_database):
    """The account is kept open by whoever makes the key, so one of both waits for the other."""
    made = []

    def create():
        with app.app_context():
            try:
                made.append(key_owners.create(acme, chatbot, "late", models=["*"], owner_id=jane.user_id))
            except Invalid:
                made.append(None)

    with psycopg.connect(fresh_database.owner_url) as other:
        other.execute("update user_account set disabled_at = now() where user_id = %s", [jane.user_id])
        thread = threading.Thread(target=lambda: Context().run(create))
        thread.start()
        eventually(lambda: _waits(fresh_database))
        assert made == []
        other.commit()
        thread.join(10)

    assert made == [None]


def _waits(fresh_database):
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with psycopg.connect(fresh_database.owner_url) as session:
        return session.execute(waiting).fetchone()
