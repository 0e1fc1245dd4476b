"""A form sent twice: both carry the id of the row to be made, and the second waits for the first."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

SIGNED_64 = (1 << 63) - 1


def wait(session: Session, row_id: UUID) -> None:
    """Wait until no other transaction makes the row of this id; afterwards it is there, or it is ours to make."""
    session.execute(select(func.pg_advisory_xact_lock(row_id.int & SIGNED_64)))
