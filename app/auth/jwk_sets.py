"""What identity providers publish for checking their signatures: JSON Web Key Sets (RFC 7517), read with care."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ALGORITHM = "RS256"
WELL_KNOWN = "/.well-known/openid-configuration"
"""Where an issuer says at which address its keys are, below its own."""
SHORTEST_BITS, LONGEST_BITS = 2048, 8192

ANY_TENANT = "{tenantid}"
"""What stands for the tenant in the issuer of a key that signs for all of them."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key, and the one issuer whose tokens it signs; None: whoever publishes it.

    Entra ID publishes keys of single tenants beside those of all, at the same address.
    """

    public: RSAPublicKey
    issuer: str | None = None

    def is_for(self, issuer: object) -> bool:
        """Tell whether it may sign for who says to be this issuer."""
        return self.issuer in (None, issuer)


Keys = Mapping[str, SigningKey]


def usable(document: Mapping[str, Any]) -> Keys:
    """Take the keys that may sign tokens, by their id; others, and those that cannot be read, are left out."""
    listed = document.get("keys")
    found = {}
    for one in listed if isinstance(listed, list) else []:
        key = _usable(one) if isinstance(one, dict) else None
        if key:
            found[str(one["kid"])] = key
    return found


def _usable(given: dict[str, Any]) -> SigningKey | None:
    if not given.get("kid") or given.get("use", "sig") != "sig" or given.get("alg", ALGORITHM) != ALGORITHM:
        return None
    try:
        key = jwt.PyJWK(given, algorithm=ALGORITHM).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if not isinstance(key, RSAPublicKey) or not SHORTEST_BITS <= key.key_size <= LONGEST_BITS:
        return None
    issuer = given.get("issuer")
    return SigningKey(key, issuer if isinstance(issuer, str) and ANY_TENANT not in issuer else None)
