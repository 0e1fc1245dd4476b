"""API keys: made, changed and revoked here; only a hash of the secret is kept.

Every change gives the key's row the next key revision, which is how the proxies learn of it
within a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.application import limits as limit_rules
from app.application import secrets, tokens
from app.application.limits import Limits
from app.application.tables import ApplicationRow, KeyIndexRow, KeyRow
from app.application.tokens import Token
from app.extensions import transaction, vault
from app.logging import audit
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import names, revisions, twins
from app.workspace.names import Invalid, NotFound

__all__ = ["Key", "KeyChange", "Limits", "MadeBefore", "NewKey", "SecretTaken", "Unenforced"]

ALL_MODELS = "*"
KINDS = ("proxy", "management")
Facts = dict[str, Any]
NOT_AUDITED = ("workspace_id", "key_id", "revision", "created_at", "token_value")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `secret` is the whole key, shown this once."""

    key_id: UUID
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key as people see it, never with its secret."""

    key_id: UUID
    application_id: UUID | None
    kind: str
    name: str
    prefix: str
    last4: str
    state: str
    models: tuple[str, ...]
    limits: Limits
    expires_at: datetime | None
    managed_by: str
    created_at: datetime
    revoked_at: datetime | None
    owner_id: UUID | None
    suspended_at: datetime | None
    """Since when its owner's account is deactivated."""
    token: Token | None
    """What stands for a key of kind 'workload', which has no secret."""
    revision: int = field(compare=False)
    """Counts changes: a form that was made from another one is out of date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unenforced:
    """A key with limits that are stored and not held yet."""

    application: str
    key: str
    limits: tuple[str, ...]


class KeyChange(TypedDict, total=False):
    """What `update` may change; what is left out stays."""

    name: str
    models: list[str]
    limits: Limits
    expires_at: datetime | None
    owner_id: UUID | None


class MadeBefore(Exception):
    """The same form was sent twice: the key is there, and its secret was shown to whoever sent it first."""


class SecretTaken(Invalid):
    """The secret is another key's, perhaps in another workspace."""

    def __init__(self, workspace_id: UUID, key_id: UUID) -> None:
        super().__init__("secret", "belongs to another key already; each key needs a secret of its own")
        self.workspace_id = workspace_id
        self.key_id = key_id


def create(  # noqa: PLR0913 - a key is all of this
    workspace_id: UUID,
    application_id: UUID | None,
    name: str,
    *,
    models: list[str],
    secret: str | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    expires_at: datetime | None = None,
    kind: str = "proxy",
    managed_by: str = "console",
    key_id: UUID | None = None,
    owner_id: UUID | None = None,
) -> NewKey:
    """Make a key, with a secret of our own unless one is given; raise `Invalid` for what cannot be stored.

    Raises `MadeBefore` when there is a key with this id.
    """
    names.check("name", name)
    token = secrets.generate() if secret is None else secrets.given(secret)
    row = KeyRow(workspace_id=workspace_id, key_id=key_id or new_id(), application_id=application_id, name=name)
    row.kind, row.managed_by, row.state, row.expires_at = kind, managed_by, "active", expires_at
    row.models, row.owner_id = check_models(models), owner_id
    set_limits(row, limits)
    with transaction(workspace_id) as session, names.unique("a key", name):
        twins.wait(session, row.key_id)
        if session.get(KeyRow, (workspace_id, row.key_id)):
            raise MadeBefore
        _check_kind(row)
        check_place(session, row)
        row.revision = revisions.bump_keys()
        set_secret(session, row, token)
        session.flush()
        note("create", row)
        return NewKey(row.key_id, token.token)


def get(workspace_id: UUID, key_id: UUID) -> Key:
    """Read one key; raise `NotFound`."""
    with transaction(workspace_id) as session:
        return value(_row(session, workspace_id, key_id))


def update(workspace_id: UUID, key_id: UUID, **change: Unpack[KeyChange]) -> None:
    """Change what is given and leave the rest."""
    with transaction(workspace_id) as session:
        row = _to_change(session, workspace_id, key_id)
        before = facts(row)
        if "name" in change:
            _rename(session, row, change["name"])
        if "models" in change:
            row.models = check_models(change["models"])
        if "limits" in change:
            set_limits(row, change["limits"])
        if "expires_at" in change:
            row.expires_at = change["expires_at"]
        if "owner_id" in change:
            _set_owner(row, change["owner_id"])
        row.revision = revisions.bump_keys()
        note("update", row, before)


def replace_secret(workspace_id: UUID, key_id: UUID, secret: str | None = None) -> NewKey:
    """Give the key another secret, ours unless one is given; the old one stops working at once."""
    token = secrets.generate() if secret is None else secrets.given(secret)
    with transaction(workspace_id) as session:
        row = _to_change(session, workspace_id, key_id)
        before = facts(row)
        _forget_secrets(session, row)
        row.revision = revisions.bump_keys()
        set_secret(session, row, token)
        note("replace_secret", row, before, {"secret_change": "replaced"})
        return NewKey(key_id, token.token)


def release_secret(workspace_id: UUID, key_id: UUID) -> None:
    """Let a revoked key's secret go, so that another key can have it; raise `Invalid` for an active key."""
    with transaction(workspace_id) as session:
        row = _to_change(session, workspace_id, key_id)
        if row.state != "revoked":
            raise Invalid("secret", f"belongs to the active key {row.name!r}")
        _forget_secrets(session, row)
        row.revision = revisions.bump_keys()
        note("release_secret", row, facts(row), {"secret_change": "dropped"})


def has_secret(workspace_id: UUID, key_id: UUID) -> bool:
    """Tell whether any secret opens the key; one that was released has none."""
    mine = (KeyIndexRow.workspace_id == workspace_id, KeyIndexRow.key_id == key_id)
    with transaction(workspace_id) as session:
        return session.scalars(select(KeyIndexRow.key_id).where(*mine)).first() is not None


def revoke(workspace_id: UUID, key_id: UUID, *, now: datetime | None = None) -> None:
    """Stop a key for good or until `reinstate`; its row stays for the bill."""
    with transaction(workspace_id) as session:
        row = _to_change(session, workspace_id, key_id)
        before = facts(row)
        row.state, row.revoked_at, row.revision = "revoked", now or utc_now(), revisions.bump_keys()
        note("revoke", row, before)


def reinstate(workspace_id: UUID, key_id: UUID) -> None:
    """Let a revoked key work again, with the secret that it had."""
    with transaction(workspace_id) as session, tokens.free():
        row = _to_change(session, workspace_id, key_id)
        before = facts(row)
        row.state, row.revoked_at, row.revision = "active", None, revisions.bump_keys()
        note("reinstate", row, before)


def refresh(workspace_id: UUID) -> None:
    """Tell the proxies that something all keys of the workspace depend on has changed."""
    with transaction(workspace_id) as session:
        every = sql.update(KeyRow).where(KeyRow.workspace_id == workspace_id)
        session.execute(every.values(revision=revisions.bump_keys()))


def all_of(workspace_id: UUID) -> list[Key]:
    """List a workspace's keys in the order in which they were made, revoked ones included."""
    statement = select(KeyRow).where(KeyRow.workspace_id == workspace_id).order_by(KeyRow.created_at, KeyRow.key_id)
    with transaction(workspace_id) as session:
        return [value(row) for row in session.scalars(statement)]


def owner_of(secret: str, *, at: datetime | None = None) -> tuple[UUID, UUID] | None:
    """Say whose secret it is: workspace and key. Sees every workspace; for the platform's own use.

    `at`: only while the secret is valid then; None: also one whose overlap is over.
    """
    with transaction(PLATFORM_ID) as session:
        return _owner(session, secret, at)


def unenforced(workspace_id: UUID) -> list[Unenforced]:
    """List the active keys with limits that are stored and not held yet."""
    statement = (
        select(KeyRow, ApplicationRow.name)
        .join(ApplicationRow, ApplicationRow.application_id == KeyRow.application_id)
        .where(KeyRow.workspace_id == workspace_id, KeyRow.state == "active", ApplicationRow.archived_at.is_(None))
        .order_by(ApplicationRow.name, KeyRow.name)
    )
    with transaction(workspace_id) as session:
        found = [(value(row), application) for row, application in session.execute(statement)]
    return [
        Unenforced(application=application, key=key.name, limits=key.limits.unenforced())
        for key, application in found
        if key.limits.unenforced()
    ]


def check_models(models: Sequence[str]) -> list[str]:
    """Give the list back or raise `Invalid`: none when empty, every model for `["*"]`."""
    if ALL_MODELS in models and len(models) > 1:
        raise Invalid("models", '"*" is every model and stands alone')
    if len(set(models)) < len(models):
        raise Invalid("models", "name the same model twice")
    return [names.check("models", model) for model in models]


def _check_kind(row: KeyRow) -> None:
    if row.kind not in KINDS:
        raise Invalid("kind", f"must be one of {', '.join(KINDS)}")
    if row.kind == "proxy" and row.application_id is None:
        raise Invalid("application", "a proxy key belongs to an application")


def check_place(session: Session, row: KeyRow) -> None:
    """Refuse an application of somebody else, and a name that is taken."""
    if row.application_id and not session.get(ApplicationRow, (row.workspace_id, row.application_id)):
        raise NotFound(f"there is no application {row.application_id}")
    same_place = KeyRow.application_id == row.application_id if row.application_id else KeyRow.application_id.is_(None)
    statement = select(KeyRow.key_id).where(KeyRow.workspace_id == row.workspace_id, same_place)
    if session.scalars(statement.where(KeyRow.name == row.name)).first():
        raise Invalid("name", f"there is a key {row.name!r} already")


def _rename(session: Session, row: KeyRow, name: str) -> None:
    row.name = names.check("name", name)
    with names.unique("a key", name):
        session.flush()


def _set_owner(row: KeyRow, owner_id: UUID | None) -> None:
    """Give the key to somebody else or to nobody; what it was suspended for was the owner before."""
    if owner_id != row.owner_id:
        row.owner_id, row.suspended_at = owner_id, None


def set_limits(row: KeyRow, limits: Limits) -> None:
    limit_rules.check(limits)
    row.limit_requests_per_min, row.limit_tokens_per_min = limits.requests_per_min, limits.tokens_per_min
    row.limit_parallel = limits.parallel
    row.budget_usd, row.budget_period = limits.budget_usd, limits.budget_period


def set_secret(session: Session, row: KeyRow, token: secrets.Secret) -> None:
    """Open the key with one more secret; raise `SecretTaken`."""
    if row.kind == tokens.KIND:
        raise Invalid("secret", "is nothing that this key has; a token stands for it")
    owner = _owner(session, token.token)
    if owner:
        raise SecretTaken(*owner)
    row.prefix, row.last4 = token.prefix, token.last4
    session.add(row)
    session.flush()
    index = KeyIndexRow(hash=vault().hash_key(token.token.encode()), workspace_id=row.workspace_id, key_id=row.key_id)
    index.pepper_version = vault().newest.pepper_version
    session.add(index)


def _forget_secrets(session: Session, row: KeyRow) -> None:
    mine = (KeyIndexRow.workspace_id == row.workspace_id, KeyIndexRow.key_id == row.key_id)
    session.execute(sql.delete(KeyIndexRow).where(*mine))


def _owner(session: Session, secret: str, at: datetime | None = None) -> tuple[UUID, UUID] | None:
    token = secret.encode()
    digests = [vault().hash_key(token), *vault().older_hashes(token)]
    asked = select(KeyIndexRow.workspace_id, KeyIndexRow.key_id).where(KeyIndexRow.hash.in_(digests))
    if at:
        asked = asked.where(sql.or_(KeyIndexRow.valid_until.is_(None), KeyIndexRow.valid_until > at))
    found = session.execute(asked).first()
    return (found.workspace_id, found.key_id) if found else None


def _row(session: Session, workspace_id: UUID, key_id: UUID, **options: Any) -> KeyRow:
    row = session.get(KeyRow, (workspace_id, key_id), **options)
    if row is None:
        raise NotFound(f"there is no key {key_id}")
    return row


def _to_change(session: Session, workspace_id: UUID, key_id: UUID) -> KeyRow:
    """Read a row that nobody else changes until the transaction ends, so that what it was is known."""
    return _row(session, workspace_id, key_id, with_for_update={"key_share": True})


def facts(row: KeyRow) -> Facts:
    """Write a key down for the audit trail. `prefix` and `last4` are what people may see of its secret.

    `accepts` is the claim's value of a token, under a name that is not taken for a secret's.
    """
    columns = [column.key for column in KeyRow.__table__.columns if column.key not in NOT_AUDITED]
    return {name: getattr(row, name) for name in columns} | ({"accepts": row.token_value} if row.token_value else {})


def note(action: str, row: KeyRow, before: Facts | None = None, more: Facts | None = None) -> None:
    after = facts(row) | (more or {})
    audit.record(f"key.{action}", kind="key", id=row.key_id, name=row.name, before=before, after=after)


def value(row: KeyRow) -> Key:
    """Show a row to people."""
    limits = Limits(
        requests_per_min=row.limit_requests_per_min,
        tokens_per_min=row.limit_tokens_per_min,
        parallel=row.limit_parallel,
        budget_usd=row.budget_usd,
        budget_period=row.budget_period,
    )
    return Key(
        key_id=row.key_id,
        application_id=row.application_id,
        kind=row.kind,
        name=row.name,
        prefix=row.prefix,
        last4=row.last4,
        state=row.state,
        models=tuple(row.models),
        limits=limits,
        expires_at=row.expires_at,
        managed_by=row.managed_by,
        revision=row.revision,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        owner_id=row.owner_id,
        suspended_at=row.suspended_at,
        token=tokens.of(row),
    )
