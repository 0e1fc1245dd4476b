"""Tokens of programs instead of API keys: what an identity provider's token must say. Pure; `signing_keys` fetches.

Claims of Microsoft Entra ID: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
(2026-11). Its signing keys serve every tenant, so it is `iss` and `tid` that say whose token it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import jwt
import msgspec

from app.auth.jwk_sets import ALGORITHM, WELL_KNOWN, SigningKey
from app.errors import NotAuthenticated

BEGINNING = b"eyJ"
"""How every token begins: a JSON object in base64."""
LEEWAY_S = 60.0
"""How far the issuer's clock may be from ours."""
V1_ISSUERS = {"login.partner.microsoftonline.cn": "https://sts.chinacloudapi.cn"}
V1_ISSUER = "https://sts.windows.net"
FOR_PEOPLE = {"scp": "it is a person's", "nonce": "it is an ID token", "at_hash": "it is an ID token"}

_signatures = jwt.PyJWS(algorithms=[ALGORITHM])


class Refused(NotAuthenticated):
    """A token that is not accepted; `claim` is the part of it that fails, and says so in the message."""

    def __init__(self, claim: str, says: str) -> None:
        super().__init__(f"The access token is not accepted: {says} ({claim}).")
        self.claim = claim


@dataclass(frozen=True)
class Trust:
    """Whose tokens are accepted, and for whom they must be made. Of kind 'oidc', `tenant` is the issuer."""

    kind: str
    authority: str
    tenant: str
    audience: str

    @cached_property
    def issuers(self) -> frozenset[str]:
        """What `iss` may be: Entra's tokens of version 2 and of version 1 name it differently."""
        if self.kind == "oidc":
            bare = self.authority.rstrip("/")
            return frozenset({bare, f"{bare}/"})
        v1 = V1_ISSUERS.get(urlsplit(self.authority).hostname or "", V1_ISSUER)
        return frozenset({f"{self._tenants_address}/v2.0", f"{v1}/{self.tenant}/"})

    @cached_property
    def audiences(self) -> frozenset[str]:
        """What `aud` may be: Entra's version 1 has the API's address `api://<id>` where version 2 has its id."""
        bare = self.audience.removeprefix("api://")
        return frozenset({self.audience, bare, f"api://{bare}"}) if _is_id(bare) else frozenset({self.audience})

    @cached_property
    def discovery(self) -> str:
        """Where the issuer says which address its signing keys have."""
        issuer = f"{self._tenants_address}/v2.0" if self.kind == "entra" else self.authority.rstrip("/")
        return issuer + WELL_KNOWN

    @property
    def _tenants_address(self) -> str:
        return f"{self.authority.rstrip('/')}/{self.tenant}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A token as it was sent: nothing of it is known to be true."""

    raw: bytes
    kid: str
    issuer: str
    audiences: frozenset[str]
    claims: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose signature is right. `names` are (claim, value), as keys name them; until `ends_at`, Unix seconds."""

    issuer: str
    audiences: frozenset[str]
    discovery: str
    names: frozenset[tuple[str, str]]
    ends_at: float


def read(raw: bytes) -> Draft:
    """Take a token apart; raise `Refused` for what is none, or is not signed as it must be."""
    try:
        parts = _signatures.decode_complete(raw, options={"verify_signature": False})
        claims = msgspec.json.decode(parts["payload"], type=dict[str, Any])
    except (jwt.PyJWTError, msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise Refused("format", "it is no JSON Web Token") from error
    header = parts["header"]
    if header.get("alg") != ALGORITHM:
        raise Refused("alg", f"it must be signed with {ALGORITHM}")
    audiences = claims.get("aud")
    listed = audiences if isinstance(audiences, list) else [audiences]
    return Draft(
        raw, _text(header.get("kid")), _text(claims.get("iss")), frozenset(filter(None, map(_text, listed))), claims
    )


def chosen(draft: Draft, trusts: Iterable[Trust]) -> Trust:
    """Choose whose token it says it is, of those whose issuer it names; raise `Refused` when none is meant."""
    known = list(trusts)
    if not known:
        raise Refused("iss", "this gateway does not know its issuer")
    meant = next((trust for trust in known if trust.audiences & draft.audiences), None)
    if meant is None:
        raise Refused("aud", "it was made for another audience")
    return meant


def check(draft: Draft, trust: Trust, key: SigningKey, *, now: float) -> Token:
    """Verify the signature with the issuer's key, then the claims; raise `Refused` with the first that fails."""
    try:
        _signatures.decode(draft.raw, key.public, algorithms=[ALGORITHM])
    except jwt.PyJWTError as error:
        raise Refused("signature", "its signature is wrong") from error
    if not key.is_for(draft.issuer):
        raise Refused("iss", "the key that signed it is another issuer's")
    ends_at = _check_times(draft.claims, now)
    _check_kind(draft.claims, trust)
    names = frozenset(_names(draft.claims, trust.kind))
    if not names:
        raise Refused("roles", "it names neither an app role nor a client")
    return Token(draft.issuer, draft.audiences, trust.discovery, names, ends_at)


def client(claims: dict[str, Any], kind: str) -> str:
    """Read the id of the program that asked for the token; "" without one. Entra's ids are in lower case."""
    found = _text(claims.get("azp")) or _text(claims.get("appid" if kind == "entra" else "client_id"))
    return found.lower() if kind == "entra" else found


def _check_times(claims: dict[str, Any], now: float) -> float:
    ends, starts = _seconds(claims.get("exp")), _seconds(claims.get("nbf", 0))
    if ends is None:
        raise Refused("exp", "it does not say until when it is valid")
    if now >= ends + LEEWAY_S:
        raise Refused("exp", "it has expired")
    if starts is None or now < starts - LEEWAY_S:
        raise Refused("nbf", "it is not valid yet")
    return ends + LEEWAY_S


def _check_kind(claims: dict[str, Any], trust: Trust) -> None:
    """Refuse what a person signed in for: only a token that a program has in its own name stands for a key."""
    for claim, says in FOR_PEOPLE.items():
        if claim in claims:
            raise Refused(claim, f"{says}, not a program's access token")
    if trust.kind != "entra":
        return
    if _text(claims.get("tid")).lower() != trust.tenant:
        raise Refused("tid", "it is from another tenant")
    if claims.get("idtyp", "app") != "app":
        raise Refused("idtyp", "it is not a program's")
    if not claims.get("oid") or claims.get("oid") != claims.get("sub"):
        raise Refused("sub", "it is a person's, not a program's access token")


def _names(claims: dict[str, Any], kind: str) -> Iterable[tuple[str, str]]:
    roles = claims.get("roles")
    for role in roles if isinstance(roles, list) else [roles]:
        if name := _text(role):
            yield "app_role", name
    if found := client(claims, kind):
        yield "client", found


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
