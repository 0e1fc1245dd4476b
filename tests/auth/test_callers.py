from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.auth.callers import Callers
from app.units import new_id

HASH, OTHER = b"\1" * 32, b"\2" * 32
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def row(key_hash=HASH, **changes):
    return {
        "workspace_id": UUID(int=7),
        "application_id": UUID(int=8),
        "key_id": new_id(),
        "kind": "proxy",
        "active": True,
        "models": ["*"],
        "limit_requests_per_min": None,
        "expires_at": None,
        "timezone": "UTC",
        "networks": [],
        "secrets": [{"hash": key_hash.hex(), "valid_until": None}],
    } | changes


def callers(*rows):
    found = Callers()
    found.update(rows)
    return found


def test_an_active_key_is_found_by_its_hash_and_by_no_other():
    known = row()

    assert known["key_id"] == callers(known).find(HASH, NOON).key_id
    assert callers(known).find(OTHER, NOON) is None


def test_a_revoked_key_is_gone_with_all_its_secrets():
    both = [{"hash": HASH.hex(), "valid_until": None}, {"hash": OTHER.hex(), "valid_until": None}]
    known = row(secrets=both)
    found = callers(known)

    found.update([known | {"active": False}])

    assert [None, None] == [found.find(HASH, NOON), found.find(OTHER, NOON)]
    assert 0 == len(found)


@pytest.mark.parametrize("order", [1, -1])
def test_a_secret_that_moved_to_another_key_in_one_change_opens_that_key(order):
    old, new = row(), row()
    found = callers(old)

    found.update([old | {"active": False, "secrets": []}, new][::order])

    assert new["key_id"] == found.find(HASH, NOON).key_id


def test_a_key_ends_at_the_instant_of_its_expiry():
    found = callers(row(expires_at=datetime(2026, 3, 1, 12, tzinfo=UTC)))

    assert found.find(HASH, NOON - 0.001)
    assert found.find(HASH, NOON) is None


def test_a_replaced_secret_works_until_its_overlap_ends():
    new, old = (
        {"hash": HASH.hex(), "valid_until": None},
        {"hash": OTHER.hex(), "valid_until": "2026-03-01T12:00:00+00:00"},
    )
    found = callers(row(secrets=[new, old]))

    assert found.find(OTHER, NOON - 1)
    assert [True, False] == [bool(found.find(HASH, NOON)), bool(found.find(OTHER, NOON))]


@pytest.mark.parametrize(
    ("models", "allowed"), [(["*"], True), (["m"], True), (["n"], False), ([], False), (["M"], False)]
)
def test_a_key_may_use_what_its_list_names_exactly(models, allowed):
    assert allowed == callers(row(models=models)).find(HASH, NOON).may_use("m")
