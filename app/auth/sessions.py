"""Who is signed in: sessions in PostgreSQL, found by the hash of the cookie's value.

A session ends when it is ended, 2 h after it was last used, or 12 h after it began.
"""

import base64
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import ColumnElement, func, select

from app.auth.tables import SessionRow, UserRow
from app.extensions import transaction, vault
from app.logging import audit
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A session that still opens the console. `session_id` names it and opens nothing."""

    session_id: UUID
    created_at: datetime
    last_seen_at: datetime
    ip: str
    user_agent: str
    method: str
    provider_id: UUID | None
    is_this: bool


@dataclass(frozen=True, slots=True)
class Presence:
    """How many sessions of a person run, and when one of them was last used."""

    count: int
    last_seen_at: datetime


def start(  # noqa: PLR0913 - a session is all of this
    user_id: UUID,
    *,
    ip: str,
    user_agent: str,
    now: datetime,
    method: str = "password",
    provider_id: UUID | None = None,
    sid: str | None = None,
) -> str:
    """Begin a session; give the value for the cookie, which is stored nowhere.

    `method` is password or sso; the latter has a `provider_id`, and the provider's own name `sid` for its session.
    """
    token = secrets.token_urlsafe(32)
    row = SessionRow(id_hash=_hash(token), user_id=user_id, ip=ip, user_agent=user_agent[:AGENT_LONGEST])
    row.method, row.provider_id, row.sid = method, provider_id, sid
    row.created_at = row.last_seen_at = now
    row.expires_at = now + LIFE
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.delete(SessionRow).where(SessionRow.expires_at <= now))
        session.add(row)
    return token


def find(token: str, *, now: datetime) -> Person | None:
    """Find who is signed in with a cookie's value, and note that he was seen. None: nobody, or no longer."""
    statement = (
        select(UserRow, SessionRow.last_seen_at)
        .join(SessionRow, SessionRow.user_id == UserRow.user_id)
        .where(_is(token), *_running(now), UserRow.disabled_at.is_(None))
    )
    with transaction(PLATFORM_ID) as session:
        found = session.execute(statement).first()
        if found is None:
            return None
        row, seen_at = found
        if now - seen_at >= SEEN_EVERY:
            session.execute(sql.update(SessionRow).where(_is(token)).values(last_seen_at=now))
        return Person(user_id=row.user_id, email=row.email, name=row.name, platform_role=row.platform_role)


def provider_of(token: str) -> UUID | None:
    """Find the identity provider that a session began at; None for a password's, and for no session."""
    with transaction(PLATFORM_ID) as session:
        return session.scalars(select(SessionRow.provider_id).where(_is(token))).first()


def of(user_id: UUID, *, now: datetime, token: str = "") -> list[Running]:
    """List a person's sessions, the last used first; `token` is the cookie's value of the one that asks."""
    is_this = _is(token).label("is_this")
    statement = select(SessionRow, is_this).where(SessionRow.user_id == user_id, *_running(now))
    with transaction(PLATFORM_ID) as session:
        rows = session.execute(statement.order_by(SessionRow.last_seen_at.desc(), SessionRow.id_hash)).all()
        return [_value(row, is_this=is_this) for row, is_this in rows]


def presences(user_ids: Collection[UUID], *, now: datetime) -> dict[UUID, Presence]:
    """Tell who of some people is signed in."""
    statement = select(SessionRow.user_id, func.count(), func.max(SessionRow.last_seen_at))
    statement = statement.where(SessionRow.user_id.in_(user_ids), *_running(now)).group_by(SessionRow.user_id)
    with transaction(PLATFORM_ID) as session:
        return {user_id: Presence(count, seen_at) for user_id, count, seen_at in session.execute(statement)}


def end(token: str) -> None:
    """End one session. Its cookie opens nothing any more, wherever it was copied to."""
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.delete(SessionRow).where(_is(token)))


def end_one(user_id: UUID, session_id: UUID, *, name: str) -> bool:
    """End one of a person's sessions; tell whether it was running. `name` is his, for the audit."""
    that = (SessionRow.user_id == user_id, func.substr(SessionRow.id_hash, 1, 16) == session_id.bytes)
    return bool(_end_and_note(user_id, *that, name=name))


def end_others_of(user_id: UUID, token: str, *, name: str) -> int:
    """End every session of a person but the one with the cookie's value `token`; tell how many ended."""
    return _end_and_note(user_id, SessionRow.user_id == user_id, sql.not_(_is(token)), name=name)


def end_all_of(user_id: UUID) -> None:
    """End every session of a person whose account is being closed, which is in the audit trail already."""
    with transaction(PLATFORM_ID) as session:
        session.execute(sql.delete(SessionRow).where(SessionRow.user_id == user_id))


def sign_out(user_id: UUID, *, name: str) -> int:
    """End every session of a person, as somebody else does it for him; tell how many ended."""
    return _end_and_note(user_id, SessionRow.user_id == user_id, name=name)


def end_all() -> int:
    """End every session of everybody; tell how many ended."""
    with transaction(PLATFORM_ID) as session:
        ended = len(session.scalars(sql.delete(SessionRow).returning(SessionRow.user_id)).all())
        audit.record("session.delete", kind="session", id="", name="everybody", after={"ended": ended})
        return ended


def end_those_by_password(*, but_of: UUID) -> int:
    """End the sessions that began with a password, but of one person; tell how many ended. The caller audits."""
    mine = (SessionRow.method == "password", SessionRow.user_id != but_of)
    with transaction(PLATFORM_ID) as session:
        return len(session.scalars(sql.delete(SessionRow).where(*mine).returning(SessionRow.user_id)).all())


def end_by_sid(provider_id: UUID, sid: str) -> None:
    """End what began with a session of an identity provider, by the provider's own name for it."""
    mine = (SessionRow.provider_id == provider_id, SessionRow.sid == sid)
    with transaction(PLATFORM_ID) as session:
        ended = session.scalars(sql.delete(SessionRow).where(*mine).returning(SessionRow.user_id)).all()
        for user_id in set(ended):
            reason = "the session at the identity provider has ended"
            audit.record("session.delete", kind="person", id=user_id, name="", reason=reason)


def form_tokens(token: str) -> tuple[str, ...]:
    """The values that forms of this session may carry against forgery, the newest first: pages may be older than SECRET_KEY."""
    return tuple(_written(one) for one in vault().signatures(b"form", token.encode()))


def _end_and_note(user_id: UUID, *those: ColumnElement[bool], name: str) -> int:
    with transaction(PLATFORM_ID) as session:
        ended = len(session.scalars(sql.delete(SessionRow).where(*those).returning(SessionRow.user_id)).all())
        if ended:
            audit.record("session.delete", kind="person", id=user_id, name=name, after={"ended": ended})
        return ended


def _running(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return SessionRow.expires_at > now, SessionRow.last_seen_at > now - IDLE


def _value(row: SessionRow, *, is_this: bool) -> Running:
    return Running(
        session_id=UUID(bytes=row.id_hash[:16]),
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        ip=row.ip,
        user_agent=row.user_agent,
        method=row.method,
        provider_id=row.provider_id,
        is_this=is_this,
    )


def _is(token: str) -> ColumnElement[bool]:
    return SessionRow.id_hash.in_(vault().signatures(b"session", token.encode()))


def _hash(token: str) -> bytes:
    return vault().sign(b"session", token.encode())


def _written(signature: bytes) -> str:
    return base64.urlsafe_b64encode(signature).decode().rstrip("=")
