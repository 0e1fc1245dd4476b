"""The local admin: the account that works when nobody else can sign in."""

from argon2 import PasswordHasher
from sqlalchemy import select

from app.auth.tables import UserRow
from app.extensions import transaction
from app.units import PLATFORM_ID, new_id


def ensure_admin(email: str, password: str) -> bool:
    """Make the platform admin unless the e-mail has an account; tell whether it was made.

    The password of an account that is there stays as it is: it may have been changed by its owner.
    """
    address = email.strip().lower()
    with transaction(PLATFORM_ID) as session:
        if session.scalars(select(UserRow.user_id).where(UserRow.email == address)).first():
            return False
        row = UserRow(user_id=new_id(), email=address, name="Administrator", platform_role="admin")
        row.password_hash = PasswordHasher().hash(password)
        session.add(row)
        return True


def exists(email: str) -> bool:
    """Tell whether the e-mail has an account."""
    with transaction(PLATFORM_ID) as session:
        found = select(UserRow.user_id).where(UserRow.email == email.strip().lower())
        return session.scalars(found).first() is not None
