"""Who is signed in: sessions in PostgreSQL, found by the hash of the cookie's value.

A session ends when it is ended, 2 h after it was last used, or 12 h after it began.
"""

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select

from app.auth.tables import SessionRow, UserRow
from app.extensions import transaction, vault
from app.units import PLATFORM_ID

LIFE = timedelta(hours=12)
IDLE = timedelta(hours=2)
SEEN_EVERY = timedelta(minutes=1)
"""How coarse `last_seen_at` is: a page that polls does not write each time."""
AGENT_LONGEST = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone with an account."""

    user_id: UUID
    email: str
    name: str
    platform_role: str | None = None


def start(user_id: UUID, *, ip: str, user_agent: str, now: datetime) -> str:
    """Begin a session; give the value for the cookie, which is stored nowhere."""
    token = secrets.token_urlsafe(32)
    row = SessionRow(id_hash=_hash(token), user_id=user_id, ip=ip, user_agent=user_agent[:AGENT_LONGEST])
    row.created_at = row.last_seen_at = now
    row.expires_at = now + LIFE
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.delete(SessionRow).where(SessionRow.expires_at <= now))
        session.add(row)
    return token


def find(token: str, *, now: datetime) -> Person | None:
    """Find who is signed in with a cookie's value, and note that he was seen. None: nobody, or no longer."""
    running = (SessionRow.id_hash == _hash(token), SessionRow.expires_at > now, SessionRow.last_seen_at > now - IDLE)
    statement = (
        select(UserRow, SessionRow.last_seen_at)
        .join(SessionRow, SessionRow.user_id == UserRow.user_id)
        .where(*running, UserRow.disabled_at.is_(None))
    )
    with transaction(PLATFORM_ID) as session:
        found = session.execute(statement).first()
        if found is None:
            return None
        row, seen_at = found
        if now - seen_at >= SEEN_EVERY:
            session.execute(sql.update(SessionRow).where(SessionRow.id_hash == _hash(token)).values(last_seen_at=now))
        return Person(user_id=row.user_id, email=row.email, name=row.name, platform_role=row.platform_role)


def end(token: str) -> None:
    """End one session. Its cookie opens nothing any more, wherever it was copied to."""
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.delete(SessionRow).where(SessionRow.id_hash == _hash(token)))


def end_all_of(user_id: UUID) -> None:
    """End every session of a person."""
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.delete(SessionRow).where(SessionRow.user_id == user_id))


def form_token(token: str) -> str:
    """The value that forms of this session carry against forgery. It holds as long as the session does."""
    return base64.urlsafe_b64encode(vault().sign(b"form", token.encode())).decode().rstrip("=")


def _hash(token: str) -> bytes:
    return vault().sign(b"session", token.encode())
