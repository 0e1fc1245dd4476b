"""Identity providers: where people sign in. A stored secret never leaves but to the provider itself."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.application import workload_keys
from app.auth.directory_tables import IdentityProviderRow, SignInPolicyRow
from app.auth.registrations import SEVERAL, Registration, check
from app.auth.tables import SessionRow
from app.extensions import transaction, vault
from app.logging import audit
from app.units import PLATFORM_ID, new_id
from app.workspace import names
from app.workspace.names import Invalid, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProvider:
    """A provider as it is stored. `tested_by` last came through a test sign-in, at `tested_at`."""

    provider_id: UUID
    registration: Registration
    has_secret: bool
    tested_by: UUID | None
    tested_at: datetime | None
    created_at: datetime
    disabled_at: datetime | None

    @property
    def name(self) -> str:
        return self.registration.name

    @property
    def tenants(self) -> frozenset[str] | None:
        """Whose people may come, of Entra's tenants; None where there are none."""
        about = self.registration
        if about.kind != "entra":
            return None
        return frozenset(about.allowed_tenants if about.tenant == SEVERAL else (str(about.tenant),))

    @property
    def authority(self) -> str:
        """The address below which Entra's endpoints of the tenant are, or the issuer's."""
        about = self.registration
        return f"{about.authority}/{about.tenant}" if about.kind == "entra" else about.authority

    @property
    def issuers(self) -> frozenset[str]:
        """How the provider names itself in tokens: Entra by the tenant that somebody comes from."""
        about = self.registration
        return frozenset(f"{about.authority}/{tenant}/v2.0" for tenant in self.tenants or ()) or frozenset(
            {self.authority}
        )

    @property
    def discovery(self) -> str:
        """The address below which the provider describes itself."""
        return f"{self.authority}/v2.0" if self.registration.kind == "entra" else self.authority


def of_all() -> list[IdentityProvider]:
    """List every provider by name, disabled ones included."""
    with transaction(PLATFORM_ID) as session:
        return [_value(row) for row in session.scalars(select(IdentityProviderRow).order_by(IdentityProviderRow.name))]


def enabled() -> list[IdentityProvider]:
    """List those at which one may sign in."""
    return [one for one in of_all() if one.disabled_at is None]


def get(provider_id: UUID) -> IdentityProvider:
    """Read one; raise `NotFound`."""
    with transaction(PLATFORM_ID) as session:
        return _value(_row(session, provider_id))


def find(provider_id: UUID) -> IdentityProvider | None:
    """Read one at which one may sign in; None when there is none."""
    with transaction(PLATFORM_ID) as session:
        row = session.get(IdentityProviderRow, provider_id)
        return _value(row) if row and row.disabled_at is None else None


def secret_of(provider_id: UUID) -> str | None:
    """Open the client secret; None without one. Raise `crypto.CannotOpen`."""
    with transaction(PLATFORM_ID) as session:
        sealed = _row(session, provider_id).sealed_secret
    return vault().open(sealed, provider_id.bytes) if sealed else None


def add(registration: Registration, *, secret: str = "", provider_id: UUID | None = None) -> UUID:
    """Make a provider; one that has the id stays. Raise `Invalid`."""
    checked, own = check(registration), provider_id or new_id()
    with names.unique("a provider named", checked.name), transaction(PLATFORM_ID) as session:
        if session.get(IdentityProviderRow, own):
            return own
        row = IdentityProviderRow(provider_id=own, **_columns(checked))
        row.sealed_secret = vault().seal(secret, own.bytes) if secret else None
        session.add(row)
        session.flush()
        after = asdict(checked) | {"secret": "set" if secret else "none"}
        audit.record("identity_provider.create", kind="identity_provider", id=own, name=checked.name, after=after)
    return own


def edit(provider_id: UUID, registration: Registration, *, secret: str | None = None) -> None:
    """Change a provider; None keeps its secret, "" drops it. Raise `Invalid` or `NotFound`.

    What leads elsewhere than before has to be tested anew.
    """
    checked = check(registration)
    with names.unique("a provider named", checked.name), transaction(PLATFORM_ID) as session:
        row = _row(session, provider_id)
        before = _value(row)
        if checked.kind != before.registration.kind:
            raise Invalid("kind", "stays as it is; add another provider")
        for name, value in _columns(checked).items():
            setattr(row, name, value)
        if secret is not None:
            row.sealed_secret = vault().seal(secret, provider_id.bytes) if secret else None
        if secret is not None or _place(checked) != _place(before.registration):
            row.tested_by = row.tested_at = None
        session.flush()
        workload_keys.refresh(provider_id)
        change = {"secret": "changed"} if secret is not None else {}
        _record("update", row, before=asdict(before.registration), after=asdict(checked) | change)


def disable(provider_id: UUID, *, now: datetime) -> None:
    """Let nobody sign in there any more, and end the sessions that began there. Raise `Invalid` for the last way in."""
    with transaction(PLATFORM_ID) as session:
        row = _row(session, provider_id)
        if row.disabled_at:
            return
        _check_a_way_in_stays(session, provider_id)
        row.disabled_at = now
        session.execute(sql.delete(SessionRow).where(SessionRow.provider_id == provider_id))
        workload_keys.refresh(provider_id)
        _record("disable", row)


def enable(provider_id: UUID) -> None:
    """Let people sign in there again."""
    with transaction(PLATFORM_ID) as session:
        row = _row(session, provider_id)
        if row.disabled_at:
            row.disabled_at = None
            workload_keys.refresh(provider_id)
            _record("enable", row)


def tested(provider_id: UUID, by: UUID, *, now: datetime) -> None:
    """Note that somebody has come through a test sign-in."""
    with transaction(PLATFORM_ID) as session:
        row = _row(session, provider_id)
        row.tested_by, row.tested_at = by, now
        _record("test", row)


def _check_a_way_in_stays(session: Session, provider_id: UUID) -> None:
    policy = session.scalars(select(SignInPolicyRow).with_for_update()).one()
    others = (IdentityProviderRow.provider_id != provider_id, IdentityProviderRow.disabled_at.is_(None))
    if policy.require_sso and session.scalars(select(IdentityProviderRow).where(*others)).first() is None:
        raise Invalid("provider", "is the only way in while single sign-on is required: lift that first")


def _place(about: Registration) -> tuple[object, ...]:
    """Where a provider leads."""
    return about.authority, about.tenant, about.client_id


def _columns(about: Registration) -> dict[str, Any]:
    return asdict(about) | {"allowed_tenants": list(about.allowed_tenants)}


def _record(verb: str, row: IdentityProviderRow, **fields: Mapping[str, Any]) -> None:
    before, after = fields.get("before"), fields.get("after")
    name = f"identity_provider.{verb}"
    audit.record(name, kind="identity_provider", id=row.provider_id, name=row.name, before=before, after=after)


def _row(session: Session, provider_id: UUID) -> IdentityProviderRow:
    row = session.get(IdentityProviderRow, provider_id)
    if row is None:
        raise NotFound(f"there is no identity provider {provider_id}")
    return row


def _value(row: IdentityProviderRow) -> IdentityProvider:
    fields = {name: getattr(row, name) for name in Registration.__dataclass_fields__}
    return IdentityProvider(
        provider_id=row.provider_id,
        registration=Registration(**fields | {"allowed_tenants": tuple(row.allowed_tenants)}),
        has_secret=row.sealed_secret is not None,
        tested_by=row.tested_by,
        tested_at=row.tested_at,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
    )
