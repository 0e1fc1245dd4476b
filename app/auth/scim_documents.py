"""What provisioning says of a person, as SCIM writes it (RFC 7643), checked: pure functions on plain dicts.

Names of attributes are compared without regard to letter case, as the standard wants. What nothing here
reads is kept as it was sent and given back.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from app.workspace import invitations, names
from app.workspace.names import Invalid

Document = dict[str, Any]

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
OF_THE_ENTERPRISE = ("employeeNumber", "costCenter", "organization", "division", "department", "manager")
KNOWN: tuple[str, ...] = (
    *("schemas", "id", "externalId", "userName", "active", "displayName", "name", "emails", "meta", "password"),
    *("groups", "title", "nickName", "phoneNumbers", "addresses", "roles", "preferredLanguage", "locale"),
    *("timezone", "userType", "profileUrl", "entitlements", "photos", "ims", "x509Certificates", ENTERPRISE),
)
NOT_KEPT = frozenset({"schemas", "id", "meta", "groups", "password", "userName", "externalId", "active"})
"""What is a column, what we say ourselves, and what nobody shall give us."""
LONGEST, LARGEST_BYTES, DEEPEST = 254, 64 * 1024, 8

_BY_FOLDED = {name.casefold(): name for name in KNOWN}
_ENTERPRISE_BY_FOLDED = {name.casefold(): name for name in OF_THE_ENTERPRISE}


class Taken(Invalid):
    """A value that must be unique is somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """A person as provisioning wants him. `email` None: it gave no address that could be his."""

    user_name: str
    external_id: str | None
    active: bool
    attributes: Document
    email: str | None
    name: str


def read(document: Mapping[str, Any]) -> Provisioned:
    """Check a document; raise `Invalid` naming the attribute that is wrong. `active` missing is True."""
    given = tidy(document)
    user_name = _line(given, "userName")
    if user_name is None:
        raise Invalid("userName", "is missing")
    _check_shapes(given)
    return Provisioned(
        user_name=user_name,
        external_id=_line(given, "externalId"),
        active=_flag(given, "active"),
        attributes={name: value for name, value in given.items() if name not in NOT_KEPT},
        email=_email(given, user_name),
        name=_name(given, user_name),
    )


def tidy(document: Mapping[str, Any]) -> Document:
    """Write the names of known attributes as the standard does; leave out what is null or empty."""
    tidied: Document = {}
    for name, value in document.items():
        if _bare(value) in (None, [], {}):
            continue
        short = _ENTERPRISE_BY_FOLDED.get(name.casefold())
        if short:
            tidied.setdefault(ENTERPRISE, {})[short] = _reference(short, _bare(value))
        elif name.casefold() == ENTERPRISE.casefold() and isinstance(value, dict):
            tidied.setdefault(ENTERPRISE, {}).update(_enterprise(value))
        else:
            tidied[canonical(name)] = _bare(value)
    if len(msgspec.json.encode(tidied)) > LARGEST_BYTES:
        raise Invalid("attributes", f"are larger than {LARGEST_BYTES // 1024} KiB together")
    return tidied


def canonical(name: str) -> str:
    """Write a known attribute's name as the standard does; others stay."""
    return _BY_FOLDED.get(name.casefold(), name)


def enterprise_name(name: str) -> str | None:
    """The enterprise extension's attribute of this name, as the standard writes it."""
    return _ENTERPRISE_BY_FOLDED.get(name.casefold())


def line(name: str, value: Any, longest: int = LONGEST) -> str:
    """Check a text of one line; raise `Invalid`."""
    if not isinstance(value, str):
        raise Invalid(name, "must be a text")
    if not 1 <= len(value) <= longest or not value.isprintable() or value != value.strip():
        raise Invalid(name, f"must have 1 to {longest} printable characters, without spaces around them")
    return value


def flag(name: str, value: Any) -> bool:
    """Read a truth value. Entra ID also sends it as a text, in whatever letter case."""
    if isinstance(value, str) and value.casefold() in {"true", "false"}:
        return value.casefold() == "true"
    if not isinstance(value, bool):
        raise Invalid(name, "must be true or false")
    return value


def _line(given: Document, name: str) -> str | None:
    return line(name, given[name]) if name in given else None


def _flag(given: Document, name: str) -> bool:
    return flag(name, given.get(name, True))


def _bare(value: Any, depth: int = 0) -> Any:
    """Leave out members that are null, and refuse what cannot be stored."""
    if depth > DEEPEST:
        raise Invalid("attributes", f"are nested deeper than {DEEPEST}")
    if isinstance(value, dict):
        bare = {_storable(name): _bare(inner, depth + 1) for name, inner in value.items()}
        return {name: inner for name, inner in bare.items() if inner is not None}
    if isinstance(value, list):
        return [bare for inner in value if (bare := _bare(inner, depth + 1)) is not None]
    return _storable(value) if isinstance(value, str) else value


def _storable(text: str) -> str:
    if "\0" in text:
        raise Invalid("attributes", "hold a character that cannot be stored")
    return text


def _enterprise(value: Mapping[str, Any]) -> Document:
    bare = {name: _bare(inner) for name, inner in value.items()}
    named = ((enterprise_name(name) or name, inner) for name, inner in bare.items() if inner not in (None, [], {}))
    return {name: _reference(name, inner) for name, inner in named}


def _reference(name: str, value: Any) -> Any:
    """Write a manager as the standard does: Entra ID sends his id bare, or a list of one."""
    if name != "manager":
        return value
    only = value[0] if isinstance(value, list) and value else value
    return {"value": only} if isinstance(only, str) else only


def _check_shapes(given: Document) -> None:
    """Refuse a document whose known parts are not what the standard says: we look into these."""
    if not isinstance(given.get("name", {}), dict):
        raise Invalid("name", "must be an object")
    if not isinstance(given.get(ENTERPRISE, {}), dict):
        raise Invalid(ENTERPRISE, "must be an object")
    emails = given.get("emails", [])
    if not isinstance(emails, list) or not all(isinstance(one, dict) for one in emails):
        raise Invalid("emails", "must be a list of objects")


def _email(given: Document, user_name: str) -> str | None:
    """Find the address: that of work, else the primary one, else any, else a user name that is one."""
    for one in (*_addresses(given.get("emails", [])), user_name):
        try:
            return invitations.check_email(one)
        except Invalid:
            continue
    return None


def _addresses(emails: Iterable[Document]) -> Iterator[str]:
    ranked = sorted(emails, key=lambda one: (one.get("type") != "work", not one.get("primary")))
    return (one["value"] for one in ranked if isinstance(one.get("value"), str))


def _name(given: Document, user_name: str) -> str:
    """Find how people call somebody, as our own names have to be."""
    parts = given.get("name", {})
    whole = " ".join(str(parts[part]) for part in ("givenName", "familyName") if part in parts)
    for one in (given.get("displayName"), parts.get("formatted"), whole, user_name):
        shown = " ".join(str(one or "").split()).lstrip("=+-@ ")[: names.LONGEST].strip()
        try:
            return names.check("name", shown)
        except Invalid:
            continue
    return "Somebody"
