"""Roles of the platform that mappings give, beside those given by hand: as `app.workspace.mapped_roles` in a workspace."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import or_, select

from app.auth.tables import UserRow
from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID
from app.workspace.mapped_roles import Standing

LAST_ADMIN = "the mapping gives this no more, but the platform has no other admin"


def standings() -> dict[UUID, Standing]:
    """Read who has a role of the platform, and by what."""
    some_role = or_(UserRow.granted_platform_role.is_not(None), UserRow.mapped_platform_role.is_not(None))
    statement = select(UserRow.user_id, UserRow.granted_platform_role, UserRow.mapped_platform_role).where(some_role)
    with transaction(PLATFORM_ID) as session:
        return {row[0]: Standing(row[1], row[2]) for row in session.execute(statement)}


def admins(*, lock: bool = False) -> Collection[UUID]:
    """List the admins whose accounts are open; `lock` keeps them until the transaction ends."""
    statement = select(UserRow.user_id).where(UserRow.platform_role == "admin", UserRow.disabled_at.is_(None))
    statement = statement.order_by(UserRow.user_id)
    with transaction(PLATFORM_ID) as session:
        return session.scalars(statement.with_for_update(key_share=True) if lock else statement).all()


def put(user_id: UUID, role: str | None, *, name: str, reason: str | None = None) -> bool:
    """Set the platform's role that mappings give to a person. Tell whether it was set: the last admin stays one."""
    with transaction(PLATFORM_ID) as session:
        others = set(admins(lock=True)) - {user_id}
        row = session.get_one(UserRow, user_id, populate_existing=True, with_for_update={"key_share": True})
        stays = row.platform_role == "admin" and not others and "admin" not in (row.granted_platform_role, role)
        audit.record(
            "account.update",
            kind="person",
            id=user_id,
            name=name,
            before={"mapped_platform_role": row.mapped_platform_role},
            after={"mapped_platform_role": role},
            outcome="refused" if stays else "done",
            reason=LAST_ADMIN if stays else reason,
        )
        if not stays:
            row.mapped_platform_role = role
            session.flush()
        return not stays
