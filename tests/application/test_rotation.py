from datetime import timedelta

import pytest

from app.application import applications, key_list, keys, rotation
from app.extensions import vault
from app.units import utc_now
from app.workspace import workspaces
from app.workspace.names import Invalid, NotFound

pytestmark = pytest.mark.usefixtures("app")

HOUR = timedelta(hours=1)


@pytest.fixture
def acme():
    return workspaces.create("acme")


@pytest.fixture
def made(acme):
    return keys.create(acme, applications.create(acme, "chatbot"), "ci", models=["*"])


def rotate(workspace_id, key_id, overlap, now):
    revision = keys.get(workspace_id, key_id).revision
    return rotation.rotate(workspace_id, key_id, overlap=overlap, revision=revision, now=now)


def secrets_of(key_rows, *tokens):
    """Until when the proxies take each secret; None is for good, a missing one is not taken."""
    (row,) = key_rows(0)
    known = {secret["hash"]: secret["valid_until"] for secret in row.secrets}
    digests = [vault().hash_key(token.encode()).hex() for token in tokens]
    return [known.get(digest, "gone") for digest in digests]


def test_a_second_rotation_does_not_give_the_first_secret_more_time(acme, made, key_rows):
    now = utc_now()
    second = rotate(acme, made.key_id, HOUR, now)

    third = rotate(acme, made.key_id, 24 * HOUR, now)

    first_until, second_until, third_until = secrets_of(key_rows, made.secret, second.secret, third.secret)
    assert first_until < second_until
    assert third_until is None
    assert now + 24 * HOUR == key_list.get(acme, made.key_id, now=now).old_until


def test_without_overlap_the_old_secret_is_gone_at_once(acme, made, key_rows):
    second = rotate(acme, made.key_id, timedelta(0), utc_now())

    assert ["gone", None] == secrets_of(key_rows, made.secret, second.secret)


def test_secrets_whose_time_is_over_are_forgotten_by_the_next_rotation(acme, made, key_rows):
    now = utc_now()
    second = rotate(acme, made.key_id, HOUR, now)

    third = rotate(acme, made.key_id, HOUR, now + 2 * HOUR)

    first_until, _, third_until = secrets_of(key_rows, made.secret, second.secret, third.secret)
    assert ("gone", None) == (first_until, third_until)


def test_an_overlap_out_of_bounds_is_refused(acme, made):
    for overlap in (-HOUR, timedelta(days=31)):
        with pytest.raises(Invalid, match="overlap"):
            rotate(acme, made.key_id, overlap, utc_now())


def test_a_revoked_key_is_not_rotated(acme, made):
    keys.revoke(acme, made.key_id)

    with pytest.raises(Invalid, match="revoked"):
        rotate(acme, made.key_id, HOUR, utc_now())


def test_another_workspaces_key_is_not_found(made):
    other = workspaces.create("other")

    with pytest.raises(NotFound):
        rotation.rotate(other, made.key_id, overlap=HOUR, revision=1, now=utc_now())
    with pytest.raises(NotFound):
        rotation.end_overlap(other, made.key_id)
