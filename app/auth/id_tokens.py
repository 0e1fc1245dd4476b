"""ID tokens, checked by us: MSAL compares the nonce and leaves everything else to its caller.

`check` stops at the first claim that is wrong and names it: what is unclear is refused.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt

from app.auth.jwk_sets import ALGORITHM, ANY_TENANT, SigningKey

LEEWAY_S = 60
LONGEST_VALUE = 200
MOST_VALUES = 5_000

Claims = Mapping[str, Any]
FindKey = Callable[[str], SigningKey | None]


class Refused(Exception):
    """A sign-in that an identity provider's answer does not allow; `claim` is what is wrong with it."""

    def __init__(self, claim: str, says: str) -> None:
        super().__init__(f"{claim} {says}")
        self.claim, self.says = claim, says


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a token must say. `tenants` are Entra's that may come, None for other issuers; `nonce` as it was sent."""

    issuer: str
    client_id: str
    nonce: str
    tenants: frozenset[str] | None = None
    guests: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Who has signed in, as his provider says. `groups` is None where it has more of them than the token holds."""

    tenant: str
    subject: str
    email: str | None
    name: str | None
    app_roles: frozenset[str]
    groups: frozenset[str] | None
    sid: str | None


def sent_nonce(secret: str) -> str:
    """Tell which nonce MSAL has sent for the one that it keeps."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check(token: str, *, expected: Expected, find_key: FindKey, now: datetime) -> Token:
    """Check an ID token and read it; raise `Refused`, or what `find_key` raises."""
    claims = _signed(token, find_key)
    _check_parties(claims, expected)
    _check_times(claims, now.timestamp())
    if claims.get("nonce") != expected.nonce:
        raise Refused("nonce", "is not the one of this sign-in")
    if expected.tenants is not None:
        _check_tenant(claims, expected)
    return _read(claims, is_entra=expected.tenants is not None)


def _signed(token: str, find_key: FindKey) -> Claims:
    """Read the claims of a token whose signature is right."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise Refused("id_token", "is not a signed token") from error
    if header.get("alg") != ALGORITHM:
        raise Refused("alg", f"is {_shown(header.get('alg'))}; only {ALGORITHM} is accepted")
    key = find_key(str(header.get("kid", "")))
    if key is None:
        raise Refused("kid", f"is {_shown(header.get('kid'))}, and the identity provider publishes no such key")
    options: Any = {"require": [], "verify_signature": True} | {
        f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
    }
    try:
        claims: dict[str, Any] = jwt.decode(token, key.public, algorithms=[ALGORITHM], options=options)
    except jwt.InvalidSignatureError as error:
        raise Refused("signature", "does not match the identity provider's key") from error
    except jwt.PyJWTError as error:
        raise Refused("id_token", "cannot be read") from error
    if not key.is_for(claims.get("iss")):
        raise Refused("iss", f"is {_shown(claims.get('iss'))}, and the key that signed is for {key.issuer} alone")
    return claims


def _check_parties(claims: Claims, expected: Expected) -> None:
    """Check who has made the token and for whom."""
    issuer = expected.issuer.replace(ANY_TENANT, _text(claims, "tid") or "")
    if claims.get("iss") != issuer:
        raise Refused("iss", f"is {_shown(claims.get('iss'))}, not {issuer}")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in audiences:
        raise Refused("aud", f"is {_shown(audience)}, which is another application")
    party = claims.get("azp", expected.client_id if len(audiences) == 1 else None)
    if party != expected.client_id:
        raise Refused("azp", f"is {_shown(party)}, which is another application")


def _check_times(claims: Claims, now: float) -> None:
    if _instant(claims, "exp") <= now - LEEWAY_S:
        raise Refused("exp", "has passed: the token has expired. Check the clocks, then sign in again")
    if _instant(claims, "iat") > now + LEEWAY_S:
        raise Refused("iat", "lies ahead: one of the clocks is wrong")
    if "nbf" in claims and _instant(claims, "nbf") > now + LEEWAY_S:
        raise Refused("nbf", "lies ahead: the token is not valid yet. One of the clocks is wrong")


def _check_tenant(claims: Claims, expected: Expected) -> None:
    """Check from which of Entra's tenants somebody comes, and that he belongs to it."""
    tenant = (_text(claims, "tid") or "").lower()
    if not tenant or tenant not in (expected.tenants or ()):
        raise Refused("tid", f"is {_shown(claims.get('tid'))}, a tenant that may not sign in here")
    if not expected.guests and (claim := _guest_by(claims, tenant)):
        raise Refused(claim, "says that this is a guest of the tenant, and guests may not sign in here")


def _guest_by(claims: Claims, tenant: str) -> str | None:
    """Name the claim by which somebody is a guest. `acct` is Entra's own word and settles it, where it is sent."""
    if "acct" in claims:
        return "acct" if str(claims["acct"]) != "0" else None
    home = _text(claims, "idp")
    if home and tenant not in home.lower() and home != claims.get("iss"):
        return "idp"
    return next(
        (name for name in ("preferred_username", "upn") if "#ext#" in (_text(claims, name) or "").lower()), None
    )


def _read(claims: Claims, *, is_entra: bool) -> Token:
    who = "oid" if is_entra else "sub"
    subject = _text(claims, who)
    if not subject:
        raise Refused(who, "is missing: the identity provider does not say who this is")
    return Token(
        tenant=str(claims["tid"]).lower() if is_entra else str(claims["iss"]),
        subject=subject,
        email=_email(claims, is_entra=is_entra),
        name=_text(claims, "name"),
        app_roles=_values(claims, "roles"),
        groups=None if _has_more_groups(claims) else _values(claims, "groups"),
        sid=_text(claims, "sid"),
    )


def _email(claims: Claims, *, is_entra: bool) -> str | None:
    """Find an address to show. One that the provider calls unverified is left out: it may be anybody's.

    What Entra calls the preferred user name is of a domain that the tenant has proved; elsewhere anybody may choose it.
    """
    unverified = any(str(claims.get(name, True)).lower() in {"0", "false"} for name in ("email_verified", "xms_edov"))
    names = ([] if unverified else ["email"]) + (["preferred_username"] if is_entra else [])
    return next((found for name in names if "@" in (found := _text(claims, name) or "")), None)


def _has_more_groups(claims: Claims) -> bool:
    """Tell whether Entra has left the groups out, for they were too many."""
    elsewhere = claims.get("_claim_names")
    return (isinstance(elsewhere, Mapping) and "groups" in elsewhere) or str(claims.get("hasgroups")).lower() == "true"


def _values(claims: Claims, name: str) -> frozenset[str]:
    """Read a claim that holds one value or several. One that holds something else is refused, never taken for none."""
    found = claims.get(name)
    listed = [] if found is None else [found] if isinstance(found, str) else found
    if not isinstance(listed, list) or len(listed) > MOST_VALUES or not all(isinstance(one, str) for one in listed):
        raise Refused(name, "is no list of texts")
    return frozenset(one for one in listed if one)


def _instant(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
        raise Refused(name, "is missing, or is no time")
    return float(value)


def _text(claims: Claims, name: str) -> str | None:
    """Read a claim that is a line of text; None for everything else."""
    value = claims.get(name)
    usable = isinstance(value, str) and value.isprintable() and 0 < len(value) <= LONGEST_VALUE
    return value if usable else None


def _shown(value: object) -> str:
    """Write a claim as a message may hold it."""
    text = str(value)[:LONGEST_VALUE]
    return repr(text) if value is not None else "missing"
