"""Providers' secrets: sealed with the account's id as context, opened for the upstream alone."""

import hmac
from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.crypto import CannotOpen, Resealing
from app.extensions import transaction, vault
from app.logging import audit
from app.provider.tables import CredentialRow, ProviderRow
from app.workspace import revisions

SHOWN_FROM = 12
"""A shorter secret shows none of itself."""


def save(session: Session, row: ProviderRow, api_key: str) -> bool:
    """Seal and store the secret when it is another one, drop it when empty; tell whether it was another."""
    credential = _of(session, row.workspace_id, row.provider_id)
    if same(_opened(credential), api_key):
        return False
    if credential is None:
        credential = CredentialRow(workspace_id=row.workspace_id, provider_id=row.provider_id)
        session.add(credential)
    if not api_key:
        session.delete(credential)
        return True
    credential.sealed = vault().seal(api_key, row.provider_id.bytes)
    credential.last4 = api_key[-4:] if len(api_key) >= SHOWN_FROM else ""
    return True


def opened(workspace_id: UUID, provider_id: UUID) -> str | None:
    """Open an account's secret: empty when it has none, None when it was sealed with another SECRET_KEY."""
    with transaction(workspace_id) as session:
        return _opened(_of(session, workspace_id, provider_id))


def same(stored: str | None, given: str) -> bool:
    """Tell whether an opened secret is the given one, in a time that does not depend on where they differ."""
    return stored is not None and hmac.compare_digest(stored.encode(), given.encode())


def exists(session: Session, workspace_id: UUID, provider_id: UUID) -> bool:
    """Tell whether the account has a secret, one that cannot be opened included."""
    return _of(session, workspace_id, provider_id) is not None


def last4(workspace_id: UUID, provider_ids: Collection[UUID]) -> dict[UUID, str]:
    """Read what people may see of the secrets: account → last four, empty for a short one; no secret, no entry."""
    mine = (CredentialRow.workspace_id == workspace_id, CredentialRow.provider_id.in_(provider_ids))
    statement = select(CredentialRow.provider_id, CredentialRow.last4).where(*mine).order_by(CredentialRow.created_at)
    with transaction(workspace_id) as session:
        return dict(session.execute(statement).all())


def unreadable(workspace_id: UUID, provider_ids: Collection[UUID]) -> set[UUID]:
    """Find the accounts whose secret was sealed with another SECRET_KEY: their models answer 503."""
    mine = (CredentialRow.workspace_id == workspace_id, CredentialRow.provider_id.in_(provider_ids))
    with transaction(workspace_id) as session:
        rows = session.scalars(select(CredentialRow).where(*mine).order_by(CredentialRow.created_at))
        newest = {row.provider_id: row for row in rows}
        return {provider_id for provider_id, row in newest.items() if _opened(row) is None}


def reseal(workspace_id: UUID) -> Resealing:
    """Seal the workspace's secrets with the newest SECRET_KEY. Proxies that could not open them can from now on."""
    tally = Resealing()
    statement = (
        select(CredentialRow, ProviderRow.name)
        .join(ProviderRow, ProviderRow.provider_id == CredentialRow.provider_id)
        .where(CredentialRow.workspace_id == workspace_id, ProviderRow.workspace_id == workspace_id)
        .order_by(ProviderRow.name)
        .with_for_update(of=CredentialRow)
    )
    with transaction(workspace_id) as session:
        for row, name in session.execute(statement):
            row.sealed = tally.renewed(vault(), row.sealed, f"provider {name}")
        if tally.done:
            revisions.bump_catalogue()
            audit.record(
                "secrets.reseal", kind="secrets", id=workspace_id, name="providers", after={"count": tally.done}
            )
    return tally


def _of(session: Session, workspace_id: UUID, provider_id: UUID) -> CredentialRow | None:
    mine = (CredentialRow.workspace_id == workspace_id, CredentialRow.provider_id == provider_id)
    return session.scalars(select(CredentialRow).where(*mine).order_by(CredentialRow.created_at.desc())).first()


def _opened(credential: CredentialRow | None) -> str | None:
    if credential is None:
        return ""
    try:
        return vault().open(credential.sealed, credential.provider_id.bytes)
    except CannotOpen:
        return None
