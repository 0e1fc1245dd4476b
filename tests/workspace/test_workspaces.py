import pytest

from app.extensions import db, transaction
from app.units import PLATFORM_ID, utc_now
from app.workspace import workspaces
from app.workspace.names import Invalid, NotFound
from app.workspace.tables import WorkspaceRow

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
