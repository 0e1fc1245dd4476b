"""Providers: upstream accounts, with their address and their sealed secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.crypto import CannotOpen
from app.extensions import transaction, vault
from app.provider.adapters import ADAPTERS
from app.provider.tables import CredentialRow, ProviderRow
from app.units import new_id
from app.workspace import names, revisions
from app.workspace.names import Invalid, NotFound

KINDS = tuple(ADAPTERS)
TIMEOUTS = ("connect_s", "first_byte_s", "idle_s", "total_s")
LONGEST_TIMEOUT_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An upstream account as people see it, never with its secret."""

    provider_id: UUID
    name: str
    kind: str
    base_url: str
    timeouts: dict[str, float] = field(default_factory=dict)
    managed_by: str = "console"


class InUse(Exception):
    """Something else needs it; the running transaction cannot go on."""


def save(  # noqa: PLR0913 - an account is all of this
    workspace_id: UUID,
    name: str,
    *,
    kind: str,
    base_url: str,
    api_key: str,
    timeouts: Mapping[str, float] | None = None,
    managed_by: str = "console",
) -> UUID:
    """Make the account of this name, or change it; an empty `api_key` is an upstream that wants none.

    Raises `Invalid` for what cannot be stored. Saving what is there already changes nothing.
    """
    names.check("name", name)
    wanted: dict[str, Any] = {"kind": check_kind(kind), "base_url": check_base_url(base_url), "managed_by": managed_by}
    wanted["timeouts"] = check_timeouts(timeouts or {})
    check_api_key(api_key)
    with transaction(workspace_id) as session:
        row = _by_name(session, workspace_id, name)
        if row is None:
            row = ProviderRow(workspace_id=workspace_id, provider_id=new_id(), name=name)
            session.add(row)
        changed = [column for column, value in wanted.items() if getattr(row, column) != value]
        for column in changed:
            setattr(row, column, wanted[column])
        session.flush()
        if _save_secret(session, row, api_key) or changed:
            revisions.bump_catalogue()
        return row.provider_id


def by_name(workspace_id: UUID, name: str) -> Provider | None:
    """Find a workspace's own provider."""
    return next((found for found in all_of(workspace_id) if found.name == name), None)


def all_of(workspace_id: UUID) -> list[Provider]:
    """List a workspace's own providers by name."""
    statement = select(ProviderRow).where(ProviderRow.workspace_id == workspace_id).order_by(ProviderRow.name)
    with transaction(workspace_id) as session:
        return [
            Provider(
                provider_id=row.provider_id,
                name=row.name,
                kind=row.kind,
                base_url=row.base_url,
                timeouts=dict(row.timeouts),
                managed_by=row.managed_by,
            )
            for row in session.scalars(statement)
        ]


def holds(workspace_id: UUID, provider_id: UUID, api_key: str) -> bool:
    """Tell whether the stored secret is this one; empty is none."""
    with transaction(workspace_id) as session:
        return _opened(_credential(session, workspace_id, provider_id)) == api_key


def delete(workspace_id: UUID, provider_id: UUID) -> None:
    """Remove an account and its secret; raise `InUse` while a deployment uses it."""
    mine = (ProviderRow.workspace_id == workspace_id, ProviderRow.provider_id == provider_id)
    secrets = (CredentialRow.workspace_id == workspace_id, CredentialRow.provider_id == provider_id)
    with transaction(workspace_id) as session:
        session.execute(sql.delete(CredentialRow).where(*secrets))
        try:
            found = session.execute(sql.delete(ProviderRow).where(*mine).returning(ProviderRow.provider_id)).first()
        except IntegrityError as error:
            raise InUse(f"deployments use provider {provider_id}") from error
        if not found:
            raise NotFound(f"there is no provider {provider_id}")
        revisions.bump_catalogue()


def check_kind(kind: str) -> str:
    """Give the kind back, or raise `Invalid`."""
    if kind not in ADAPTERS:
        raise Invalid("kind", f"must be one of {', '.join(KINDS)}, not {kind!r}")
    return kind


def check_base_url(base_url: str) -> str:
    """Give the address back, or raise `Invalid`; how it is joined is in `families/openai_compatible`."""
    try:
        parts = urlsplit(base_url)
        complete = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise Invalid("base_url", "is not a valid address") from error
    if any(not "!" <= letter <= "~" for letter in base_url):
        raise Invalid("base_url", "must be plain ASCII without spaces")
    if parts.scheme not in {"http", "https"}:
        raise Invalid("base_url", "must start with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise Invalid("base_url", "must not hold a user or password; use api_key")
    if "#" in base_url:
        raise Invalid("base_url", "must not hold a fragment (#)")
    if not complete:
        raise Invalid("base_url", "is not a complete address")
    return base_url


def check_api_key(api_key: str) -> str:
    """Give the secret back, or raise `Invalid` for one that cannot be sent in a header."""
    if any(not "!" <= letter <= "~" for letter in api_key):
        raise Invalid("api_key", "must be ASCII without spaces, line breaks or control characters")
    return api_key


def check_timeouts(timeouts: Mapping[str, Any]) -> dict[str, float]:
    """Give the deadlines back in seconds, or raise `Invalid`."""
    for name, value in timeouts.items():
        if name not in TIMEOUTS:
            raise Invalid("timeouts", f"has no {name!r}; there are {', '.join(TIMEOUTS)}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value <= LONGEST_TIMEOUT_S:
            raise Invalid("timeouts", f"{name} must be a number of seconds above 0, at most {LONGEST_TIMEOUT_S}")
    return dict(timeouts)


def _by_name(session: Session, workspace_id: UUID, name: str) -> ProviderRow | None:
    statement = select(ProviderRow).where(ProviderRow.workspace_id == workspace_id, ProviderRow.name == name)
    return session.scalars(statement).first()


def _save_secret(session: Session, row: ProviderRow, api_key: str) -> bool:
    """Seal and store the secret when it is another one; tell whether it was."""
    credential = _credential(session, row.workspace_id, row.provider_id)
    if _opened(credential) == api_key:
        return False
    if credential is None:
        credential = CredentialRow(workspace_id=row.workspace_id, provider_id=row.provider_id)
        session.add(credential)
    if not api_key:
        session.delete(credential)
        return True
    credential.sealed = vault().seal(api_key, row.provider_id.bytes)
    credential.last4 = api_key[-4:]
    return True


def _credential(session: Session, workspace_id: UUID, provider_id: UUID) -> CredentialRow | None:
    mine = (CredentialRow.workspace_id == workspace_id, CredentialRow.provider_id == provider_id)
    return session.scalars(select(CredentialRow).where(*mine).order_by(CredentialRow.created_at.desc())).first()


def _opened(credential: CredentialRow | None) -> str | None:
    """Open a secret: empty when there is none, None when it was sealed with another SECRET_KEY."""
    if credential is None:
        return ""
    try:
        return vault().open(credential.sealed, credential.provider_id.bytes)
    except CannotOpen:
        return None
