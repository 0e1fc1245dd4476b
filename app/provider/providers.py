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

from app.extensions import transaction
from app.logging import audit
from app.provider import credentials
from app.provider.adapters import ADAPTERS
from app.provider.tables import CredentialRow, ProviderRow
from app.units import new_id
from app.workspace import names, pages, revisions, twins
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What an account is: everything but its id and its secret."""

    name: str
    kind: str
    base_url: str
    timeouts: Mapping[str, float] = field(default_factory=dict)


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
        before = None if row is None else {column: getattr(row, column) for column in wanted}
        if row is None:
            row = ProviderRow(workspace_id=workspace_id, provider_id=new_id(), name=name)
            session.add(row)
        for column, value in wanted.items():
            setattr(row, column, value)
        session.flush()
        replaced = credentials.save(session, row, api_key)
        if replaced or before != wanted:
            revisions.bump_catalogue()
            _note_saved(row, before, wanted | (_secret_change(api_key) if replaced else {}))
        return row.provider_id


def create(workspace_id: UUID, account: Account, *, api_key: str, provider_id: UUID) -> UUID:
    """Make an account; raise `Invalid` for what cannot be stored. One that has the id already stays as it is."""
    check(account)
    check_api_key(api_key)
    row = ProviderRow(workspace_id=workspace_id, provider_id=provider_id, managed_by="console", **_columns(account))
    with transaction(workspace_id) as session, names.unique("a provider", account.name):
        twins.wait(session, provider_id)
        if session.get(ProviderRow, (workspace_id, provider_id)):
            return provider_id
        session.add(row)
        session.flush()
        credentials.save(session, row, api_key)
        revisions.bump_catalogue()
        audit.record("provider.create", kind="provider", id=provider_id, name=account.name, after=_columns(account))
        return provider_id


def edit(workspace_id: UUID, provider_id: UUID, account: Account, *, api_key: str | None) -> None:
    """Change an account; None keeps its secret, empty drops it.

    A secret never follows its account to another host: whoever may edit must not be able to read it there.
    """
    check(account)
    check_api_key(api_key or "")
    with transaction(workspace_id) as session, names.unique("a provider", account.name):
        row = _row(session, workspace_id, provider_id)
        before = _columns(_value(row))
        moved = _origin(row.base_url) != _origin(account.base_url)
        if api_key is None and moved and credentials.exists(session, workspace_id, provider_id):
            raise Invalid("api_key", "must be given again, because the address leads to another host")
        for column, value in _columns(account).items():
            setattr(row, column, value)
        session.flush()
        replaced = api_key is not None and credentials.save(session, row, api_key)
        after = _columns(account) | (_secret_change(api_key) if replaced else {})
        revisions.bump_catalogue()
        audit.record("provider.update", kind="provider", id=provider_id, name=row.name, before=before, after=after)


def get(workspace_id: UUID, provider_id: UUID) -> Provider:
    """Read one of a workspace's own providers; raise `NotFound`."""
    with transaction(workspace_id) as session:
        return _value(_row(session, workspace_id, provider_id))


def page(workspace_id: UUID, *, search: str = "", after: str | None = None) -> pages.Page[Provider]:
    """List a page of the workspace's own providers by name, those whose name holds `search`."""
    statement = select(ProviderRow).where(ProviderRow.workspace_id == workspace_id)
    with transaction(workspace_id) as session:
        rows = session.scalars(pages.by_name(statement, ProviderRow.name, search=search, after=after))
        return pages.cut([_value(row) for row in rows], lambda one: one.name)


def by_name(workspace_id: UUID, name: str) -> Provider | None:
    """Find a workspace's own provider."""
    return next((found for found in all_of(workspace_id) if found.name == name), None)


def all_of(workspace_id: UUID) -> list[Provider]:
    """List a workspace's own providers by name."""
    statement = select(ProviderRow).where(ProviderRow.workspace_id == workspace_id).order_by(ProviderRow.name)
    with transaction(workspace_id) as session:
        return [_value(row) for row in session.scalars(statement)]


def holds(workspace_id: UUID, provider_id: UUID, api_key: str) -> bool:
    """Tell whether the stored secret is this one; empty is none."""
    return credentials.same(credentials.opened(workspace_id, provider_id), api_key)


def delete(workspace_id: UUID, provider_id: UUID) -> None:
    """Remove an account and its secret; raise `InUse` while a deployment uses it."""
    mine = (ProviderRow.workspace_id == workspace_id, ProviderRow.provider_id == provider_id)
    secrets = (CredentialRow.workspace_id == workspace_id, CredentialRow.provider_id == provider_id)
    with transaction(workspace_id) as session:
        before = get(workspace_id, provider_id)
        session.execute(sql.delete(CredentialRow).where(*secrets))
        try:
            found = session.execute(sql.delete(ProviderRow).where(*mine).returning(ProviderRow.provider_id)).first()
        except IntegrityError as error:
            raise InUse(f"deployments use provider {provider_id}") from error
        if not found:
            raise NotFound(f"there is no provider {provider_id}")
        revisions.bump_catalogue()
        audit.record("provider.delete", kind="provider", id=provider_id, name=before.name, before=_columns(before))


def check(account: Account) -> None:
    """Raise `Invalid` for an account that cannot be stored."""
    names.check("name", account.name)
    check_kind(account.kind)
    check_base_url(account.base_url)
    check_timeouts(account.timeouts)


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


def _row(session: Session, workspace_id: UUID, provider_id: UUID) -> ProviderRow:
    row = session.get(ProviderRow, (workspace_id, provider_id))
    if row is None:
        raise NotFound(f"there is no provider {provider_id}")
    return row


def _value(row: ProviderRow) -> Provider:
    return Provider(
        provider_id=row.provider_id,
        name=row.name,
        kind=row.kind,
        base_url=row.base_url,
        timeouts=dict(row.timeouts),
        managed_by=row.managed_by,
    )


def _note_saved(row: ProviderRow, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
    action = "provider.create" if before is None else "provider.update"
    audit.record(action, kind="provider", id=row.provider_id, name=row.name, before=before, after=after)


def _secret_change(api_key: str | None) -> dict[str, str]:
    """Say for the audit trail that the secret is another one, and nothing of it."""
    return {"secret_change": "replaced" if api_key else "dropped"}


def _columns(account: Account | Provider) -> dict[str, Any]:
    return {name: getattr(account, name) for name in ("name", "kind", "base_url")} | {
        "timeouts": dict(account.timeouts)
    }


def _origin(base_url: str) -> tuple[str, str]:
    parts = urlsplit(base_url)
    return parts.scheme, parts.netloc.lower()
