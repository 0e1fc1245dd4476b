"""Whether everybody has to come by an identity provider. Nobody can lock himself out by asking for it.

It begins only for an admin who has come through a test sign-in himself a moment ago, and only while there
is a break-glass admin; that admin, and the last identity provider, then stay.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.auth import break_glass, sessions
from app.auth.directory_tables import IdentityProviderRow, SignInPolicyRow
from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID
from app.workspace.names import Invalid

TEST_COUNTS_FOR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds, and since when."""

    require_sso: bool
    changed_at: datetime


def current() -> Policy:
    """Read what holds."""
    with transaction(PLATFORM_ID) as session:
        row = session.scalars(select(SignInPolicyRow)).one()
        return Policy(require_sso=row.require_sso, changed_at=row.changed_at)


def requires_sso(*, lock: bool = False) -> bool:
    """Tell whether a password opens nothing but the break-glass door; `lock` keeps it so until the transaction ends."""
    statement = select(SignInPolicyRow.require_sso)
    with transaction(PLATFORM_ID) as session:
        return session.scalars(statement.with_for_update(read=True) if lock else statement).one()


def test_of(user_id: UUID, *, now: datetime) -> str | None:
    """Name an identity provider that the person has come through in a test that still counts; None: there is none."""
    mine = (IdentityProviderRow.tested_by == user_id, IdentityProviderRow.tested_at > now - TEST_COUNTS_FOR)
    statement = select(IdentityProviderRow.name).where(*mine, IdentityProviderRow.disabled_at.is_(None))
    with transaction(PLATFORM_ID) as session:
        return session.scalars(statement.order_by(IdentityProviderRow.tested_at.desc())).first()


def require_sso(by: UUID, *, now: datetime) -> int:
    """Require single sign-on and end the sessions of others that began with a password; tell how many ended.

    Raise `Invalid` when it could lock everybody out.
    """
    with transaction(PLATFORM_ID) as session:
        row = _locked(session)
        if row.require_sso:
            return 0
        if test_of(by, now=now) is None:
            raise Invalid("test", "is missing: come through a test sign-in yourself, within the last 10 minutes")
        if not break_glass.admins():
            raise Invalid(
                "admin", "is missing: a platform admin with a password has to set up two-factor sign-in first"
            )
        _set(row, required=True, now=now)
        return sessions.end_those_by_password(but_of=by)


def allow_passwords(*, now: datetime) -> bool:
    """Let everybody sign in with a password again; tell whether it was not so before."""
    with transaction(PLATFORM_ID) as session:
        row = _locked(session)
        before = row.require_sso
        _set(row, required=False, now=now)
        return before


def check_a_way_in_stays(without: UUID) -> None:
    """Raise `Invalid` if nobody could break the glass without this person, while single sign-on is required.

    Called first in the transaction that takes something from him: the policy cannot change before it ends.
    """
    with transaction(PLATFORM_ID) as session:
        required = _locked(session).require_sso
        if required and [one.user_id for one in break_glass.admins()] == [without]:
            raise Invalid("account", "is the only one that gets in when the identity provider does not work")


def _locked(session: Session) -> SignInPolicyRow:
    return session.scalars(select(SignInPolicyRow).with_for_update().execution_options(populate_existing=True)).one()


def _set(row: SignInPolicyRow, *, required: bool, now: datetime) -> None:
    before = {"require_sso": row.require_sso}
    if before["require_sso"] != required:
        row.require_sso, row.changed_at = required, now
    after = {"require_sso": required}
    audit.record(
        "sign_in_policy.update", kind="sign_in_policy", id=PLATFORM_ID, name="sign-in", before=before, after=after
    )
