"""Which identity providers' tokens may stand for a key: those that a platform admin has given an audience."""

from dataclasses import dataclass
from uuid import UUID

from app.application.tokens import Token
from app.auth import identity_providers
from app.workspace.names import Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A provider, and one of Entra's tenants; elsewhere the issuer's address stands for the tenant."""

    provider_id: UUID
    provider: str
    kind: str
    tenant: str

    @property
    def choice(self) -> str:
        """How a form names it."""
        return f"{self.provider_id}/{self.tenant}"


def offered() -> list[Issuer]:
    """List whose tokens are accepted now."""
    return [
        Issuer(provider_id=one.provider_id, provider=one.name, kind=one.registration.kind, tenant=tenant)
        for one in identity_providers.enabled()
        if one.registration.token_audience
        for tenant in sorted(one.tenants or {one.registration.authority})
    ]


def provider_names() -> dict[UUID, str]:
    """Name every provider, disabled ones too."""
    return {one.provider_id: one.name for one in identity_providers.of_all()}


def token(choice: str, claim: str, value: str) -> Token:
    """Make what a form says into what a token must say; raise `Invalid`."""
    issuer = next((one for one in offered() if one.choice == choice), None)
    if issuer is None:
        raise Invalid("issuer", "choose whose tokens are meant")
    if claim == "client" and issuer.kind == "entra":
        value = _id(value)
    return Token(provider_id=issuer.provider_id, tenant=issuer.tenant, claim=claim, value=value)


def _id(value: str) -> str:
    """Write an application's id as Entra's tokens have it."""
    try:
        return str(UUID(value))
    except ValueError as error:
        raise Invalid("value", "must be the client id, such as 11111111-2222-3333-4444-555555555555") from error
