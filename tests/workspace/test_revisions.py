import pytest

from app.extensions import redis, transaction
from app.units import PLATFORM_ID
from app.workspace import revisions

pytestmark = pytest.mark.usefixtures("app")


def test_a_transaction_moves_the_counter_once_and_announces_it():
    catalogue, keys = revisions.current()

    with transaction(PLATFORM_ID):
        numbers = [revisions.bump_keys(), revisions.bump_keys()]
    with transaction(PLATFORM_ID):
        later = revisions.bump_keys()

    assert [keys + 1, keys + 1] == numbers
    assert keys + 2 == later
    assert f"{catalogue}.{keys + 2}".encode() == redis().get(revisions.REDIS_KEY)


def test_a_transaction_that_fails_moves_nothing_and_leaves_no_number_behind():
    before = revisions.current()

    with pytest.raises(KeyError), transaction(PLATFORM_ID):
        {}[revisions.bump_catalogue()]
    with transaction(PLATFORM_ID):
        number = revisions.bump_catalogue()

    assert before[0] + 1 == number
    assert (before[0] + 1, before[1]) == revisions.current()
