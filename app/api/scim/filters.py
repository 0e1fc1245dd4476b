"""SCIM's filters, as far as Entra ID uses them: `attribute eq value`, joined by `and`.

Anything else is refused in words, never taken for no filter: that would answer with everybody.
"""

import re
from typing import Any

import msgspec

from app.api.scim.answers import Refused
from app.auth.scim_matches import Condition

LONGEST = 2_000
MOST = 10
TERM = re.compile(
    r"\s*(?P<name>[A-Za-z$][\w$.:-]*(?:\[[^\]]*\])?(?:\.[\w$]+)?)\s+(?P<operator>\w+)"
    r"(?:\s+(?P<value>\"(?:[^\"\\]|\\.)*\"|[^\s\"()\[\]]+))?\s*",
)
AND = re.compile(r"and\b", re.IGNORECASE)
CORE = re.compile(
    r"urn:ietf:params:scim:schemas:(core:2\.0:(user|group)|extension:enterprise:2\.0:user):", re.IGNORECASE
)


def read(text: str) -> list[Condition]:
    """Read a filter; raise `Refused` for one that is not understood."""
    if len(text) > LONGEST:
        raise _refused(f"is longer than {LONGEST} characters")
    found, place = [], 0
    while True:
        term = TERM.match(text, place)
        if term is None or term["operator"].casefold() != "eq" or term["value"] is None:
            raise _refused('must be like userName eq "jane@example.com", several of them joined by and')
        found.append(Condition(attribute(term["name"]), _value(term["value"])))
        if term.end() == len(text) and len(found) <= MOST:
            return found
        joined = AND.match(text, term.end())
        if joined is None or len(found) >= MOST:
            raise _refused(f"can join up to {MOST} conditions, by and alone")
        place = joined.end()


def attribute(name: str) -> str:
    """Write an attribute in small letters, but for quoted values, and without its schema."""
    plain = CORE.sub("", " ".join(name.split()))
    return "".join(part if part.startswith('"') else part.casefold() for part in re.split(r'("[^"]*")', plain))


def _value(raw: str) -> Any:
    """Read a value: JSON, or a bare word, as Entra ID's documentation has it too."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        if raw.startswith('"'):
            raise _refused("holds a text that cannot be read") from error
        return raw


def _refused(problem: str) -> Refused:
    return Refused(400, f"The filter {problem}.", kind="invalidFilter")
