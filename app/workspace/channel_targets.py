"""Where channels lead: e-mail addresses and URLs as people type them, and what of them may be shown."""

import re
from urllib.parse import urlsplit

from app.workspace import addresses
from app.workspace.names import Invalid

MOST_ADDRESSES, LONGEST_URL = 20, 2000
SHOWN = 4
_EMAIL = re.compile(r"[^@\s,;<>\"()]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def ends_of(url: str) -> str:
    """Show of a secret URL where it leads, and how it ends."""
    return f"{urlsplit(url).hostname}/…{url[-SHOWN:]}"


def without_query(target: str) -> str:
    """Show where a channel leads without the query of its URL, which may hold a token."""
    bare, mark, _ = target.partition("?")
    return f"{bare}?…" if mark else bare


def read(kind: str, target: str) -> str:
    """Read where a channel leads; raise `Invalid`."""
    if kind == "email":
        return ", ".join(_addresses(target))
    problem = addresses.problem_with(target) if len(target) <= LONGEST_URL else "is too long"
    if problem:
        raise Invalid("target", problem)
    return target


def _addresses(target: str) -> list[str]:
    found = list(dict.fromkeys(target.replace(",", " ").replace(";", " ").split()))
    if not 1 <= len(found) <= MOST_ADDRESSES:
        raise Invalid("target", f"must be 1 to {MOST_ADDRESSES} e-mail addresses")
    wrong = next((one for one in found if not (one.isascii() and _EMAIL.fullmatch(one))), None)
    if wrong:
        raise Invalid("target", f"{wrong!r} is no e-mail address")
    return found
