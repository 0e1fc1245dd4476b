"""The text of API keys: `gw_<id>_<secret>_<checksum>`, or one that somebody brought along.

The checksum lets secret scanners tell a real key from a look-alike without asking anybody.
"""

import secrets
import string
import zlib
from dataclasses import dataclass, field

from app.workspace.names import Invalid

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH = 8
SECRET_LENGTH = 36
CHECKSUM_LENGTH = 6
SHORTEST, LONGEST = 20, 512


@dataclass(frozen=True, slots=True)
class Secret:
    """A whole key as callers send it, with the parts that people may see."""

    token: str = field(repr=False)
    prefix: str
    last4: str


def generate(mark: str = "") -> Secret:
    """Make a new key from the system's randomness; `mark` is how its shown part begins."""
    stem = f"gw_{mark}{_random(ID_LENGTH - len(mark))}_{_random(SECRET_LENGTH)}"
    token = f"{stem}_{checksum(stem)}"
    return Secret(token, token[:11], token[-4:])


def given(token: str) -> Secret:
    """Take a key that exists elsewhere; raise `Invalid` for one that is short or cannot travel in a header."""
    if not SHORTEST <= len(token) <= LONGEST:
        raise Invalid("secret", f"must have {SHORTEST} to {LONGEST} characters, not {len(token)}")
    if not all("!" <= letter <= "~" for letter in token):
        raise Invalid("secret", "must be ASCII letters, digits and signs without spaces, since it travels in a header")
    return Secret(token, token[:4], token[-4:])


def checksum(stem: str) -> str:
    """Write the CRC32 of what stands before the last underscore, six base62 digits."""
    number, digits = zlib.crc32(stem.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def _random(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))
