"""How the gateway is registered at an identity provider: what a platform admin types, and what of it is wrong."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from app.units import PLATFORM_ID
from app.workspace import names, workspaces
from app.workspace.members import ROLES
from app.workspace.names import Invalid, NotFound

KINDS = ("entra", "oidc")
ACCOUNTS = ("off", "default", "mapped")
SEVERAL = "organizations"
"""Entra's tenant for those who sign in people of several; `allowed_tenants` lists them."""
MICROSOFT, GRAPH = "https://login.microsoftonline.com", "https://graph.microsoft.com"
LONGEST_ADDRESS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What somebody types: how the gateway is registered at a provider, and who may come.

    `authority` is Entra's host or another issuer. `accounts` says when an account is made for somebody new: never
    (off), with a role for everybody (default), or only for whom a mapping gives a role (mapped).
    """

    name: str
    kind: str
    client_id: str
    authority: str
    tenant: str | None = None
    allowed_tenants: tuple[str, ...] = ()
    secret_expires_on: date | None = None
    graph_url: str = GRAPH
    token_audience: str | None = None
    guests: bool = False
    accounts: str = "mapped"
    default_workspace_id: UUID | None = None
    default_role: str | None = None


def check(about: Registration) -> Registration:
    """Give a registration as it will be stored, or raise `Invalid`."""
    names.check("name", about.name)
    names.check_foreign("client_id", about.client_id)
    if about.kind not in KINDS:
        raise Invalid("kind", f"must be one of {', '.join(KINDS)}")
    if about.accounts not in ACCOUNTS:
        raise Invalid("accounts", f"must be one of {', '.join(ACCOUNTS)}")
    _check_default(about)
    given = asdict(about) | {"authority": _address("authority", about.authority or MICROSOFT)}
    given["graph_url"] = _address("graph_url", about.graph_url or GRAPH)
    if about.token_audience is not None:
        names.check_foreign("token_audience", about.token_audience)
    return Registration(**given | (_tenants(about, given["authority"]) if about.kind == "entra" else _NO_TENANTS))


_NO_TENANTS: dict[str, Any] = {"tenant": None, "allowed_tenants": (), "guests": False}


def _tenants(about: Registration, authority: str) -> dict[str, Any]:
    """Check Entra's tenant, and which others may come where it stands for several."""
    if urlsplit(authority).path:
        raise Invalid("authority", f"must be a host alone, such as {MICROSOFT}; the tenant has a field of its own")
    tenant = (about.tenant or "").strip().lower()
    allowed = tuple(dict.fromkeys(_tenant_id("allowed_tenants", one) for one in about.allowed_tenants))
    if tenant != SEVERAL:
        return {"tenant": _tenant_id("tenant", tenant), "allowed_tenants": ()}
    if not allowed:
        raise Invalid(
            "allowed_tenants", "must list at least one tenant: otherwise every company's people could sign in"
        )
    return {"tenant": tenant, "allowed_tenants": allowed}


def _tenant_id(field: str, value: str) -> str:
    """Write a tenant's id as tokens have it."""
    try:
        return str(UUID(value.strip()))
    except ValueError as error:
        raise Invalid(
            field, f"must be a tenant id such as 11111111-2222-3333-4444-555555555555, not {value!r}"
        ) from error


def _check_default(about: Registration) -> None:
    if about.accounts != "default":
        if about.default_role or about.default_workspace_id:
            raise Invalid("accounts", "has a role for everybody only where every new person has an account")
        return
    if about.default_role not in ROLES:
        raise Invalid("default_role", f"must be one of {', '.join(ROLES)}")
    if about.default_workspace_id is None or about.default_workspace_id == PLATFORM_ID:
        raise Invalid("default_workspace", "is missing: say where everybody has the role")
    try:
        workspaces.get(about.default_workspace_id)
    except NotFound as error:
        raise Invalid("default_workspace", "is not there any more") from error


def _address(field: str, value: str) -> str:
    """Check an https address; the slash at its end goes."""
    try:
        parts = urlsplit(value)
        right = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    extra = not right or parts.query or parts.fragment or parts.username is not None
    if extra or not value.isprintable() or " " in value or len(value) > LONGEST_ADDRESS:
        raise Invalid(field, "must be an address that begins with https://")
    return value.rstrip("/")
