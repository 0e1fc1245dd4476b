"""Whose token stands for a key of kind 'workload', as its row has it: a program's app role, or the program itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.application.tables import KeyRow
from app.workspace import names
from app.workspace.names import Invalid

KIND = "workload"
CLAIMS = ("app_role", "client")
INDEX = "ix_api_key_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token must say: its identity provider, its tenant (an issuer where there are none), one claim's value."""

    provider_id: UUID
    tenant: str
    claim: str
    value: str


def of(row: KeyRow) -> Token | None:
    """Read a key's token; None for a key that has a secret."""
    provider_id, tenant, claim, value = row.token_provider_id, row.token_tenant, row.token_claim, row.token_value
    if provider_id is None or tenant is None or claim is None or value is None:
        return None
    return Token(provider_id=provider_id, tenant=tenant, claim=claim, value=value)


def give(row: KeyRow, token: Token) -> None:
    """Have a token stand for a key; raise `Invalid` for what cannot be stored."""
    if token.claim not in CLAIMS:
        raise Invalid("claim", f"must be one of {', '.join(CLAIMS)}")
    row.kind, row.prefix, row.last4 = KIND, "", ""
    row.token_provider_id, row.token_tenant = token.provider_id, names.check_foreign("tenant", token.tenant)
    row.token_claim, row.token_value = token.claim, names.check_foreign("value", token.value)


@contextmanager
def free() -> Iterator[None]:
    """Raise `Invalid` when the token that the block writes stands for another active key, perhaps in another workspace."""
    try:
        yield
    except IntegrityError as error:
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) != INDEX:
            raise
        raise Invalid("value", "stands for another key already; a token stands for one key only") from error
