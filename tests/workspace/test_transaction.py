import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.extensions import transaction
from app.units import PLATFORM_ID, new_id

pytestmark = pytest.mark.usefixtures("app")

HERE = text("select current_setting('app.workspace_id', true)")


def test_an_inner_block_sees_its_workspace_and_the_outer_one_its_own_again():
    outer, inner = new_id(), new_id()

    with transaction(outer) as session:
        with transaction(inner):
            seen = session.scalar(HERE)
        after = session.scalar(HERE)

    assert [str(inner), str(outer)] == [seen, after]


def test_the_error_of_an_inner_block_is_the_one_that_is_seen():
    with pytest.raises(IntegrityError), transaction(PLATFORM_ID):
        add_a_second_platform()


def add_a_second_platform():
    workspace_id = new_id()
    with transaction(workspace_id) as session:
        session.execute(
            text("insert into workspace (workspace_id, name) values (:id, 'platform')"), {"id": workspace_id}
        )
