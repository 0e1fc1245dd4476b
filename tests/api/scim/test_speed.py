"""However many people there are, a request takes few statements; a change of many takes few for each."""

from contextlib import contextmanager

import pytest
import sqlalchemy as sql
from sqlalchemy import event

from app.auth.directory_tables import ScimUserRow
from app.auth.tables import UserRow
from app.extensions import db, transaction
from app.units import PLATFORM_ID, new_id
from app.workspace import members, workspaces
from tests import directory
from tests.api.scim.directory import add_members
from tests.factories import unique


@contextmanager
def counted():
    """Count the statements that reach the database, but for those that begin a transaction."""
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_rest):
        if "set_config" not in statement:
            seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield seen
    event.remove(db.engine, "before_cursor_execute", note)


@pytest.fixture
def crowd(entra):
    """A directory of a thousand people."""
    ids = [new_id() for _ in range(1000)]
    with transaction(PLATFORM_ID) as session:
        accounts = [{"user_id": own, "email": f"{own}@corp.test", "name": "Somebody"} for own in ids]
        session.execute(sql.insert(UserRow), accounts)
        rows = [{"provider_id": entra.provider_id, "user_id": own, "user_name": str(own)} for own in ids]
        session.execute(sql.insert(ScimUserRow), [row | {"attributes": {"title": "x" * 100}} for row in rows])
    return [str(own) for own in ids]


def test_a_page_of_100_users_takes_three_statements(entra, crowd):
    entra.get("/Users")
    with counted() as statements:
        answer = entra.get("/Users", startIndex=401, count=100)

    assert (1000, 100) == (answer.json["totalResults"], answer.json["itemsPerPage"])
    assert crowd[400:500] == [found["id"] for found in answer.json["Resources"]]
    assert 3 == len(statements), statements


def test_a_user_is_found_by_name_in_three_statements(entra, crowd):
    entra.get("/Users")
    with counted() as statements:
        found = entra.ask("Users", f'userName eq "{crowd[500]}"')

    assert [crowd[500]] == [one["id"] for one in found]
    assert 3 == len(statements), statements


def test_1000_members_come_into_a_group_in_few_statements(entra, crowd):
    own = entra.group()
    with counted() as statements:
        answer = entra.patch(f"/Groups/{own}", add_members(*crowd))

    assert 204 == answer.status_code
    assert len(statements) <= 10, statements
    assert 1000 == len(entra.get(f"/Groups/{own}").json["members"])


def test_1000_members_of_a_mapped_group_have_its_role_by_few_statements_each(entra, crowd):
    acme, own = workspaces.create(unique("acme")), entra.group()
    directory.mapping(acme, entra.provider_id, own, "viewer", kind="group")

    with counted() as statements:
        answer = entra.patch(f"/Groups/{own}", add_members(*crowd))

    assert 204 == answer.status_code
    assert 1000 == len(members.of(acme))
    assert len(statements) < 30 + 6 * len(crowd)


def test_who_has_the_role_already_costs_nothing_more(entra, crowd):
    acme, (own, other) = workspaces.create(unique("acme")), (entra.group(), entra.group())
    for each in (own, other):
        directory.mapping(acme, entra.provider_id, each, "viewer", kind="group")
    entra.patch(f"/Groups/{own}", add_members(*crowd[:50]))

    with counted() as statements:
        entra.patch(f"/Groups/{other}", add_members(*crowd[:50]))

    assert len(statements) < 30
