"""Rotating a key: a new secret at once, the old one for as long as its users need to change over."""

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import func
from sqlalchemy.orm import Session

from app.application import keys, secrets
from app.application.keys import NewKey
from app.application.tables import KeyIndexRow, KeyRow
from app.extensions import transaction
from app.logging import audit
from app.workspace import revisions
from app.workspace.names import Invalid, NotFound

LONGEST_OVERLAP = timedelta(days=30)


class ChangedMeanwhile(Exception):
    """The key is not what the form was made from: it was sent twice, or somebody else was faster."""


def rotate(workspace_id: UUID, key_id: UUID, *, overlap: timedelta, revision: int, now: datetime) -> NewKey:
    """Give the key a new secret; those before it stop `overlap` after `now`, or sooner when they had to already.

    `revision` is the key's when the form was made; raises `ChangedMeanwhile` when it has another one.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise Invalid("overlap", f"must be from 0 to {LONGEST_OVERLAP.days} days")
    token = secrets.generate()
    with transaction(workspace_id) as session:
        row = _locked(session, workspace_id, key_id)
        if row.state != "active":
            raise Invalid("overlap", "is for a key that works; this one is revoked")
        if row.revision != revision:
            raise ChangedMeanwhile
        _end(session, row, until=now + overlap, now=now)
        row.revision = revisions.bump_keys()
        before, after = row.last4, {"last4": token.last4, "old_secret_until": (now + overlap).isoformat()}
        keys.set_secret(session, row, token)
        audit.record("key.rotate", kind="key", id=key_id, name=row.name, before={"last4": before}, after=after)
        return NewKey(key_id, token.token)


def end_overlap(workspace_id: UUID, key_id: UUID) -> None:
    """Stop the key's old secrets now; the newest one goes on."""
    with transaction(workspace_id) as session:
        row = _locked(session, workspace_id, key_id)
        session.execute(sql.delete(KeyIndexRow).where(*_mine(row), KeyIndexRow.valid_until.is_not(None)))
        row.revision = revisions.bump_keys()
        audit.record("key.end_overlap", kind="key", id=key_id, name=row.name)


def _locked(session: Session, workspace_id: UUID, key_id: UUID) -> KeyRow:
    row = session.get(KeyRow, (workspace_id, key_id), with_for_update=True)
    if row is None:
        raise NotFound(f"there is no key {key_id}")
    return row


def _end(session: Session, row: KeyRow, *, until: datetime, now: datetime) -> None:
    """Have every secret end at `until` at the latest; those that have ended are forgotten."""
    earlier = func.least(func.coalesce(KeyIndexRow.valid_until, until), until)
    session.execute(sql.update(KeyIndexRow).where(*_mine(row)).values(valid_until=earlier))
    session.execute(sql.delete(KeyIndexRow).where(*_mine(row), KeyIndexRow.valid_until <= now))


def _mine(row: KeyRow) -> tuple[sql.ColumnElement[bool], ...]:
    return KeyIndexRow.workspace_id == row.workspace_id, KeyIndexRow.key_id == row.key_id
