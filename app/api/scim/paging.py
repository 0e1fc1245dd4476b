"""Which part of a list is asked for: `startIndex` counts from 1, `count` is how many."""

from flask import request

from app.api.scim import filters
from app.api.scim.answers import Refused
from app.auth.scim_matches import Condition

USUAL, MOST = 100, 200
FARTHEST = 2**31 - 1


def start() -> int:
    """Read `startIndex`; below 1 is 1, as the standard says."""
    return min(max(_whole("startIndex", 1), 1), FARTHEST)


def count() -> int:
    """Read `count`; below 0 is 0, and over the limit the limit."""
    return min(max(_whole("count", USUAL), 0), MOST)


def conditions() -> list[Condition]:
    """Read `filter`; none when it is missing."""
    text = request.args.get("filter")
    return [] if text is None else filters.read(text)


def _whole(name: str, usual: int) -> int:
    raw = request.args.get(name, "").strip()
    if not raw:
        return usual
    digits = raw.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise Refused(400, f"{name} must be a whole number.", kind="invalidValue")
    return int(raw)
