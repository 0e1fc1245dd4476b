"""Step 1 for programs without an API key: a token of their identity provider stands for a key.

A token is verified once and remembered for an hour at most; which key it stands for is looked up
each time, so a revoked key is refused as fast as any.
"""

from collections import OrderedDict
from hashlib import sha256

from app.auth import workloads
from app.auth.callers import Caller, Callers
from app.auth.signing_keys import SigningKeys
from app.auth.workloads import Refused, Token
from app.gateway.snapshot import Refresher

MOST_REMEMBERED = 4096
REMEMBERED_S = 3600.0
"""After this long a token is verified again: its issuer may have taken its key back."""
NAMES = "roles, azp or appid"
UNKNOWN = frozenset({"format", "alg", "iss", "aud", NAMES})
"""What is refused because nobody known here is meant: a key that was made just now may be, or look like a token."""


class Tokens:
    """The tokens that this process has verified, the last used ones last, and the keys that sign them."""

    def __init__(self, refresher: Refresher, keys: SigningKeys) -> None:
        self._refresher = refresher
        self._keys = keys
        self._dropped = keys.dropped
        self._verified: OrderedDict[bytes, tuple[Token, float]] = OrderedDict()

    @property
    def remembered(self) -> int:
        """The number of tokens that are remembered."""
        return len(self._verified)

    def find(self, raw: bytes, now: float) -> Caller | None:
        """Find the key that a token stands for, None when no key known here is meant; else raise as `demand`."""
        try:
            return self.demand(raw, now)
        except Refused as refused:
            if refused.claim in UNKNOWN:
                return None
            raise

    def demand(self, raw: bytes, now: float) -> Caller:
        """Find the key that a token stands for; raise `Refused`, or `Unavailable` when the issuer is away."""
        callers = self._refresher.known.callers
        found = callers.named_by(self._verify(raw, callers, now), now)
        if not found:
            raise Refused(NAMES, "no key of this gateway is for the app roles or the client that it names")
        if len(found) > 1:
            raise Refused(NAMES, "it stands for more than one key of this gateway")
        return found[0]

    def _verify(self, raw: bytes, callers: Callers, now: float) -> Token:
        if self._dropped != self._keys.dropped:
            self._dropped = self._keys.dropped
            self._verified.clear()
        digest = sha256(raw).digest()
        remembered = self._verified.pop(digest, None)
        if remembered is None or now >= remembered[1]:
            draft = workloads.read(raw)
            trust = workloads.chosen(draft, callers.trusts(draft.issuer))
            token = workloads.check(draft, trust, self._keys.find(trust.discovery, draft.kid), now=now)
            remembered = token, min(token.ends_at, now + REMEMBERED_S)
        self._verified[digest] = remembered
        if len(self._verified) > MOST_REMEMBERED:
            self._verified.popitem(last=False)
        return remembered[0]
