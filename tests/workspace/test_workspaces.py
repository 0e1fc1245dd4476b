import threading

import pytest
from sqlalchemy import text

from app.extensions import db, transaction
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import workspaces
from app.workspace.names import Invalid, NotFound
from app.workspace.tables import WorkspaceRow
from tests.gateway_process import eventually
from tests.locks import someone_waits

pytestmark = pytest.mark.usefixtures("app")


def test_a_workspace_is_found_by_its_name():
    workspace_id = workspaces.create("acme", timezone="Europe/Berlin")

    found = workspaces.by_name("acme")

    assert found is not None
    assert (workspace_id, "Europe/Berlin", "console") == (found.workspace_id, found.timezone, found.managed_by)
    assert workspaces.by_name("other") is None


def test_the_platform_itself_is_a_workspace():
    assert [workspace.workspace_id for workspace in workspaces.all_of_platform()] == [PLATFORM_ID]


@pytest.mark.parametrize(
    ("name", "timezone"), [("acme", "UTC"), ("=acme", "UTC"), ("other", "Mars/Olympus"), ("b", "")]
)
def test_a_taken_name_a_bad_name_and_an_unknown_zone_are_refused(name, timezone):
    workspaces.create("acme")

    with pytest.raises(Invalid):
        workspaces.create(name, timezone=timezone)

    assert len(workspaces.all_of_platform()) == 2


def test_an_archived_workspace_can_be_revived():
    workspace_id, now = workspaces.create("acme"), utc_now()

    workspaces.archive(workspace_id, now=now)
    archived = workspaces.by_name("acme")
    workspaces.revive(workspace_id)

    assert archived is not None
    assert now == archived.archived_at
    assert workspaces.by_name("acme").archived_at is None


def test_a_workspace_has_another_name_afterwards():
    acme, other = workspaces.create("acme"), workspaces.create("other")

    workspaces.rename(acme, "acme 2")

    assert ["acme 2", "other", "platform"] == [one.name for one in workspaces.all_of_platform()]
    for name in ("other", "=1", ""):
        with pytest.raises(Invalid):
            workspaces.rename(acme, name)
    for refused in (
        lambda: workspaces.rename(PLATFORM_ID, "x"),
        lambda: workspaces.archive(PLATFORM_ID, now=utc_now()),
    ):
        with pytest.raises(Invalid):
            refused()
    assert "other" == workspaces.get(other).name


def test_bc_112_a_form_sent_twice_waits_for_itself_and_makes_one(app):
    own, made = new_id(), []

    def again():
        with app.app_context():
            made.append(workspaces.create("acme", workspace_id=own))

    with transaction(own):
        workspaces.create("acme", workspace_id=own)
        second = threading.Thread(target=again)
        second.start()
        eventually(lambda: someone_waits(app))
    second.join(30)

    assert [own] == made
    assert 2 == len(workspaces.all_of_platform())


def test_changes_of_a_workspace_are_in_its_audit_trail():
    acme = workspaces.create("acme")
    workspaces.rename(acme, "acme 2")
    workspaces.set_timezone(acme, "Europe/Berlin")
    workspaces.archive(acme, now=utc_now())
    workspaces.revive(acme)

    with transaction(acme) as session:
        found = session.execute(text("select action, before, after from audit_outbox order by occurred_at, audit_id"))
        rows = [(row.action, row.before, row.after) for row in found]
    assert ("workspace.update", {"name": "acme"}, {"name": "acme 2"}) == rows[1]
    assert ("workspace.update", {"timezone": "UTC"}, {"timezone": "Europe/Berlin"}) == rows[2]
    assert ["workspace.create", "workspace.archive", "workspace.restore"] == [rows[place][0] for place in (0, 3, 4)]


def test_one_workspace_cannot_change_another():
    acme, other = workspaces.create("acme"), workspaces.create("other")

    with transaction(other) as session:
        seen = [row.workspace_id for row in session.scalars(db.select(WorkspaceRow))]
        changed = session.execute(
            db.update(WorkspaceRow).where(WorkspaceRow.workspace_id == acme).values(name="stolen")
        )

    assert [other] == seen
    assert changed.rowcount == 0


def test_changing_a_workspace_that_is_not_there_says_so():
    with pytest.raises(NotFound):
        workspaces.set_timezone(PLATFORM_ID.__class__(int=7), "UTC")
