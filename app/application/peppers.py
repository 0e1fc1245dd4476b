"""Which `SECRET_KEY` the hashes of API keys were made with. A hash cannot be made anew: the key itself is nowhere.

So keys that are older than the newest secret work while theirs is in `SECRET_KEY_PREVIOUS`.
"""

from collections import Counter
from datetime import datetime
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import func, or_, select

from app.application.tables import KeyIndexRow
from app.crypto import UNNUMBERED_PEPPER
from app.extensions import transaction, vault
from app.units import PLATFORM_ID


def number() -> None:
    """Number the hashes from before peppers had numbers: there was one secret then, the oldest of the ring."""
    unnumbered = sql.update(KeyIndexRow).where(KeyIndexRow.pepper_version == UNNUMBERED_PEPPER)
    with transaction(PLATFORM_ID) as session:
        session.execute(unnumbered.values(pepper_version=vault().ring[-1].pepper_version))


def outdated(*, now: datetime) -> tuple[Counter[UUID], Counter[UUID]]:
    """Count by workspace the secrets that open keys by an earlier pepper of the ring, and by one that is not in it."""
    known = {keys.pepper_version for keys in vault().ring}
    older, unknown = Counter[UUID](), Counter[UUID]()
    counted = (
        select(KeyIndexRow.workspace_id, KeyIndexRow.pepper_version, func.count())
        .where(KeyIndexRow.pepper_version != vault().newest.pepper_version)
        .where(or_(KeyIndexRow.valid_until.is_(None), KeyIndexRow.valid_until > now))
        .group_by(KeyIndexRow.workspace_id, KeyIndexRow.pepper_version)
    )
    with transaction(PLATFORM_ID) as session:
        for workspace_id, version, count in session.execute(counted):
            (older if version in known else unknown)[workspace_id] += count
    return older, unknown
