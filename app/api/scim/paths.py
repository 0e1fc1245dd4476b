"""Where a change of SCIM's PATCH goes (RFC 7644, 3.5.2): `emails[type eq "work"].value`, `name.givenName`, `urn:…:User:title`."""

import re
from dataclasses import dataclass
from typing import Any

from app.api.scim import filters
from app.api.scim.answers import Refused
from app.auth import scim_documents
from app.auth.scim_documents import ENTERPRISE
from app.auth.scim_matches import Condition

LONGEST = 500
SCHEMA = re.compile(r"(?P<schema>urn:[^\[\]\"]+:(?:user|group))(?::(?P<rest>.+))?", re.IGNORECASE)
CORE = re.compile(r"urn:ietf:params:scim:schemas:core:2\.0:(user|group)", re.IGNORECASE)
PLACE = re.compile(r"(?P<name>[A-Za-z$][\w$-]*)(?:\[(?P<filter>[^\]]+)\])?(?:\.(?P<part>[A-Za-z$][\w$-]*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A place in a document. `schema`: an extension's, None for the core's. `name` None: the extension as a whole."""

    schema: str | None
    name: str | None
    conditions: tuple[Condition, ...] = ()
    part: str | None = None


def read(text: Any) -> Path:
    """Read a path; raise `Refused` for one that is not understood."""
    if not isinstance(text, str) or not 1 <= len(text) <= LONGEST:
        raise _refused("is no text, or too long")
    found = SCHEMA.fullmatch(text.strip())
    schema = found["schema"] if found and not CORE.fullmatch(found["schema"]) else None
    rest = found["rest"] if found else text.strip()
    if rest is None:
        return Path(schema=_extension(schema), name=None)
    place = PLACE.fullmatch(rest)
    if place is None:
        raise _refused("is not understood")
    return _path(_extension(schema), place)


def _path(schema: str | None, place: re.Match[str]) -> Path:
    conditions = tuple(filters.read(place["filter"])) if place["filter"] else ()
    name = scim_documents.canonical(place["name"])
    short = scim_documents.enterprise_name(place["name"])
    if short and schema in (None, ENTERPRISE):
        return Path(schema=ENTERPRISE, name=short, conditions=conditions, part=place["part"])
    return Path(schema=schema, name=name, conditions=conditions, part=place["part"])


def _extension(schema: str | None) -> str | None:
    return ENTERPRISE if schema and schema.casefold() == ENTERPRISE.casefold() else schema


def _refused(problem: str) -> Refused:
    return Refused(400, f"The path {problem}.", kind="invalidPath")
