"""Closes the account of somebody who has left, and opens it again: one transaction, wherever his sessions and keys are.

Used by platform admins and by provisioning alike. What he was given stays where it was, so that his
successor sees it; nothing of it works.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.application import owned_keys
from app.auth import mappings_platform, policy, sessions
from app.auth.tables import UserRow
from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID, utc_now
from app.workspace.names import Invalid, NotFound


def deactivate(user_id: UUID, *, now: datetime | None = None) -> None:
    """End a person's sessions and suspend his keys; he cannot sign in any more. Nothing happens when it is so already.

    Raise `Invalid` for the last platform admin, and for the only one that gets in without single sign-on while that
    is required; `NotFound` for nobody.
    """
    instant = now or utc_now()
    with transaction(PLATFORM_ID) as session:
        policy.check_a_way_in_stays(user_id)
        admins = mappings_platform.admins(lock=True)
        row = _row(session, user_id)
        if row.disabled_at:
            return
        if list(admins) == [user_id]:
            raise Invalid("account", "is that of the last platform admin: make somebody else one first")
        row.disabled_at = instant
        sessions.end_all_of(user_id)
        suspended = owned_keys.suspend(user_id, now=instant)
        _note("account.disable", row, {"disabled_at": None}, {"disabled_at": instant, "keys_suspended": suspended})


def reactivate(user_id: UUID) -> None:
    """Let a person sign in again, and his keys work that were not revoked. Raise `NotFound` for nobody."""
    with transaction(PLATFORM_ID) as session:
        row = _row(session, user_id)
        if row.disabled_at is None:
            return
        before, row.disabled_at = row.disabled_at, None
        resumed = owned_keys.resume(user_id)
        _note("account.enable", row, {"disabled_at": before}, {"disabled_at": None, "keys_resumed": resumed})


def _row(session: Session, user_id: UUID) -> UserRow:
    row = session.get(UserRow, user_id, populate_existing=True, with_for_update={"key_share": True})
    if row is None:
        raise NotFound(f"there is no account {user_id}")
    return row


def _note(action: str, row: UserRow, before: audit.Fields, after: audit.Fields) -> None:
    audit.record(action, kind="person", id=row.user_id, name=row.email, before=before, after=after)
