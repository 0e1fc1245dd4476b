"""Second factors for tests: an authenticator app in one function; works in the app context that is pushed."""

from datetime import datetime, timedelta
from uuid import UUID

import pyotp

from app.auth import accounts, totp
from app.units import utc_now
from tests import people
from tests.people import Person

STEP = timedelta(seconds=30)


def counts_since(user_id: UUID) -> datetime | None:
    """Since when an account asks for a code; None: it does not."""
    return accounts.get(user_id, now=utc_now()).two_factor_since


def code(secret: str, *, at: datetime | None = None) -> str:
    """What the app shows at an instant; now without one."""
    return pyotp.TOTP(secret).at(at or utc_now())


def next_code(secret: str) -> str:
    """What the app shows a step later, which counts already: for after one of now was used."""
    return code(secret, at=utc_now() + STEP)


def wrong(secret: str, *, at: datetime | None = None) -> str:
    """A code that is right nowhere around an instant."""
    around = {code(secret, at=(at or utc_now()) + step * STEP) for step in range(-3, 4)}
    return next(
        one
        for one in ("000000", "111111", "222222", "333333", "444444", "555555", "666666", "777777")
        if one not in around
    )


def enrol(user_id: UUID, *, now: datetime | None = None) -> str:
    """Set up two-factor sign-in some minutes ago, so that the codes of now are unused; give the secret."""
    instant = (now or utc_now()) - 10 * STEP
    totp.begin(user_id)
    waiting = totp.pending(user_id)
    assert waiting
    assert totp.confirm(user_id, code(waiting.secret, at=instant), now=instant)
    return waiting.secret


def break_glass_admin() -> tuple[Person, str]:
    """Somebody who gets in when single sign-on does not work, with the secret of the second factor."""
    admin = people.person(platform_role="admin", name="Root", password=people.PASSWORD)
    return admin, enrol(admin.user_id)
