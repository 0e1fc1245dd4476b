"""Tokens of provisioning: what an identity provider shows at /scim/v2. Each opens its own provider's people alone.

A token is shown once and works until it is revoked, or its provider is disabled.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select

from app.application import secrets
from app.auth import users
from app.auth.directory_tables import IdentityProviderRow, ScimTokenRow
from app.extensions import transaction, vault
from app.logging import audit
from app.units import PLATFORM_ID, new_id
from app.workspace import twins
from app.workspace.names import NotFound

MARK = "scim"
"""How the shown part begins, so that people tell it from an API key."""
USED_EVERY = timedelta(minutes=1)
"""How coarse `last_used_at` is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as people see it. `created_by` is a name."""

    token_id: UUID
    last4: str
    created_by: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Provisioning that was let in."""

    provider_id: UUID
    token_id: UUID
    last4: str


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made. `secret` is all of it, shown this once."""

    token_id: UUID
    secret: str = field(repr=False)


class MadeBefore(Exception):
    """The same form was sent twice: the token is there, and was shown to whoever sent it first."""


def of(provider_id: UUID) -> list[Token]:
    """List a provider's tokens, the newest first, revoked ones last."""
    mine = select(ScimTokenRow).where(ScimTokenRow.provider_id == provider_id)
    order = (ScimTokenRow.revoked_at.is_not(None), ScimTokenRow.created_at.desc(), ScimTokenRow.token_id)
    with transaction(PLATFORM_ID) as session:
        rows = session.scalars(mine.order_by(*order)).all()
        people = users.of([row.created_by for row in rows])
        return [_value(row, people[row.created_by].name) for row in rows]


def create(provider_id: UUID, *, by: UUID, token_id: UUID | None = None) -> NewToken:
    """Make a token; raise `NotFound` without the provider, `MadeBefore` when there is a token of this id."""
    made = secrets.generate(MARK)
    own = token_id or new_id()
    with transaction(PLATFORM_ID) as session:
        twins.wait(session, own)
        provider = _provider(provider_id)
        if session.get(ScimTokenRow, own):
            raise MadeBefore
        row = ScimTokenRow(token_id=own, provider_id=provider_id, last4=made.last4, created_by=by)
        row.hash = vault().hash_key(made.token.encode())
        session.add(row)
        session.flush()
        audit.record("scim_token.create", kind="scim_token", id=own, name=provider, after={"last4": row.last4})
    return NewToken(own, made.token)


def revoke(provider_id: UUID, token_id: UUID, *, now: datetime) -> None:
    """Stop a token at once. One that is stopped already stays as it is. Raise `NotFound`."""
    with transaction(PLATFORM_ID) as session:
        row = session.get(ScimTokenRow, token_id, with_for_update=True)
        if row is None or row.provider_id != provider_id:
            raise NotFound(f"there is no token {token_id}")
        if row.revoked_at:
            return
        row.revoked_at = now
        name = _provider(provider_id)
        audit.record("scim_token.revoke", kind="scim_token", id=token_id, name=name, before={"last4": row.last4})


def find(secret: str, *, now: datetime) -> Visitor | None:
    """Find who shows a token, and note that it was used. None: unknown, revoked, or its provider is disabled."""
    if not _is_shaped(secret):
        return None
    hashes = [vault().hash_key(secret.encode()), *vault().older_hashes(secret.encode())]
    statement = (
        select(ScimTokenRow)
        .join(IdentityProviderRow, IdentityProviderRow.provider_id == ScimTokenRow.provider_id)
        .where(ScimTokenRow.hash.in_(hashes), ScimTokenRow.revoked_at.is_(None))
        .where(IdentityProviderRow.disabled_at.is_(None))
    )
    with transaction(PLATFORM_ID) as session:
        row = session.scalars(statement).first()
        if row is None:
            return None
        if row.last_used_at is None or now - row.last_used_at >= USED_EVERY:
            session.execute(
                sql.update(ScimTokenRow).where(ScimTokenRow.token_id == row.token_id).values(last_used_at=now)
            )
        return Visitor(provider_id=row.provider_id, token_id=row.token_id, last4=row.last4)


def _is_shaped(secret: str) -> bool:
    """Tell a token of ours from what somebody guesses, without asking the database."""
    stem, _, digits = secret.rpartition("_")
    return secret.isascii() and secret.startswith(f"gw_{MARK}") and secrets.checksum(stem) == digits


def _provider(provider_id: UUID) -> str:
    """Find a provider's name; raise `NotFound`."""
    with transaction(PLATFORM_ID) as session:
        name = session.scalars(
            select(IdentityProviderRow.name).where(IdentityProviderRow.provider_id == provider_id)
        ).first()
    if name is None:
        raise NotFound(f"there is no identity provider {provider_id}")
    return name


def _value(row: ScimTokenRow, created_by: str) -> Token:
    return Token(
        token_id=row.token_id,
        last4=row.last4,
        created_by=created_by,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
