"""What an identity provider publishes: who it is, where one signs out, and the keys that its tokens are signed with.

Asked when somebody signs in, never at start. Keys are kept for a day, addresses for an hour; a key that is not
among them has the provider asked again, at most once a minute.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from app.auth import jwk_sets
from app.auth.jwk_sets import WELL_KNOWN, Keys, SigningKey
from app.auth.outbound import Session, Unreachable

FRESH_S = 24 * 3600.0
ADDRESSES_S = 3600.0
UNKNOWN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """An issuer's own words, `document` all of them. `issuer` may hold `{tenantid}`, where Entra signs for several tenants."""

    document: str
    issuer: str
    jwks_uri: str
    end_session_endpoint: str | None


@dataclass(slots=True)
class Published:
    """What an address has published, kept in this process."""

    metadata: Metadata
    keys: Keys = field(default_factory=dict)
    fetched_at: float = float("-inf")


class Directory:
    """Issuers by the address of their discovery document. `open_session` makes what asks them."""

    def __init__(self, open_session: Callable[[], Session], clock: Callable[[], float] = time.monotonic) -> None:
        self._open_session, self._clock = open_session, clock
        self._known: dict[str, Published] = {}

    def metadata(self, base: str) -> Metadata:
        """Tell what an issuer says of itself; raise `Unreachable`."""
        return self._published(base, lambda known: self._clock() - known.fetched_at >= ADDRESSES_S).metadata

    def key(self, base: str, kid: str) -> SigningKey | None:
        """Find the key of this id, None when the issuer has none; raise `Unreachable`."""
        return self._published(base, lambda known: kid not in known.keys).keys.get(kid)

    def _published(self, base: str, is_lacking: Callable[[Published], bool]) -> Published:
        known, now = self._known.get(base), self._clock()
        age = now - known.fetched_at if known else FRESH_S
        if known and age < FRESH_S and not (is_lacking(known) and age >= UNKNOWN_S):
            return known
        try:
            with self._open_session() as session:
                metadata = _metadata(session, base)
                keys = jwk_sets.usable(session.json(metadata.jwks_uri))
        except Unreachable:
            if known is None:
                raise
            return known  # what was published yesterday is better than nobody at work today
        self._known[base] = Published(metadata, keys, now)
        return self._known[base]


def _metadata(session: Session, base: str) -> Metadata:
    address = base.rstrip("/") + WELL_KNOWN
    found = session.json(address)
    end = found.get("end_session_endpoint")
    needed = [found.get(name) for name in ("issuer", "jwks_uri")]
    if not all(isinstance(one, str) and one.startswith("https://") for one in needed):
        raise Unreachable(f"{address} names no issuer and no keys over https")
    return Metadata(
        document=json.dumps(found),
        issuer=str(needed[0]),
        jwks_uri=str(needed[1]),
        end_session_endpoint=end if isinstance(end, str) and end.startswith("https://") else None,
    )
