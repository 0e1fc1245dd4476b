"""A sign-in between its two steps: the password was right, the code is missing. Its form carries it, sealed."""

import hmac
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from app.auth import tickets
from app.auth.users import Account

LIFE = timedelta(minutes=5)
CONTEXT = b"second step of a sign-in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Whose sign-in it is. `password` is a digest of what was stored: after a change of it the step is worth nothing."""

    email: str
    password: str

    def is_of(self, account: Account) -> bool:
        """Tell whether the password that was right still is the account's."""
        return hmac.compare_digest(self.password, _digest(account.password_hash or ""))


def seal(email: str, password_hash: str, *, now: datetime) -> str:
    """Write a step down for the form that asks for the code."""
    return tickets.seal(asdict(Step(email=email, password=_digest(password_hash))), CONTEXT, now=now)


def opened(ticket: str, *, now: datetime) -> Step | None:
    """Read a step; None when it is not ours, or its time is over."""
    values = tickets.opened(ticket, CONTEXT, life=LIFE, now=now)
    return Step(**values) if values else None


def _digest(password_hash: str) -> str:
    return sha256(password_hash.encode()).hexdigest()[:32]
