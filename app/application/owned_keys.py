"""Keys that belong to a person, in whatever workspace: suspended while his account is deactivated.

A suspended key is unknown to the proxies within a second. Who comes back finds his keys as they were,
but for those that were revoked.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from uuid import UUID

from sqlalchemy import select, text

from app.application import keys
from app.application.tables import KeyRow
from app.extensions import transaction
from app.units import PLATFORM_ID
from app.workspace import revisions

OWNED = text("select workspace_id, key_id from keys_owned_by(:person) order by workspace_id, key_id")


def suspend(user_id: UUID, *, now: datetime) -> int:
    """Stop every key of a person, in the running transaction when there is one; tell how many were stopped."""
    return _set(user_id, now)


def resume(user_id: UUID) -> int:
    """Let the keys of a person work again; tell how many there were. Revoked ones stay revoked."""
    return _set(user_id, None)


def _set(user_id: UUID, suspended_at: datetime | None) -> int:
    with transaction(PLATFORM_ID):
        found = _lock(user_id, suspended=suspended_at is None)
        # All are locked before the first one gets the revision, whose row everybody waits for.
        for workspace_id, rows in found.items():
            with transaction(workspace_id):
                _change(rows, suspended_at)
        return sum(len(rows) for rows in found.values())


def _lock(user_id: UUID, *, suspended: bool) -> dict[UUID, list[KeyRow]]:
    """Read the keys to be changed and keep them until the transaction ends."""
    with transaction(PLATFORM_ID) as session:
        owned = [(row.workspace_id, row.key_id) for row in session.execute(OWNED, {"person": user_id})]
    wanted = KeyRow.suspended_at.is_not(None) if suspended else KeyRow.suspended_at.is_(None)
    found = {}
    for workspace_id, pairs in groupby(owned, lambda pair: pair[0]):
        mine = (KeyRow.workspace_id == workspace_id, KeyRow.key_id.in_([key_id for _, key_id in pairs]))
        statement = select(KeyRow).where(*mine, KeyRow.owner_id == user_id, wanted).order_by(KeyRow.key_id)
        statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
        with transaction(workspace_id) as session:
            found[workspace_id] = list(session.scalars(statement))
    return found


def _change(rows: Iterable[KeyRow], suspended_at: datetime | None) -> None:
    for row in rows:
        before = keys.facts(row)
        row.suspended_at, row.revision = suspended_at, revisions.bump_keys()
        keys.note("suspend" if suspended_at else "resume", row, before)
