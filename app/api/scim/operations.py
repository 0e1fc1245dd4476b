"""The operations of a PATCH, as clients send them: Entra ID writes Add, Replace and Remove, the standard in small letters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.api.scim import paths
from app.api.scim.answers import Refused
from app.api.scim.paths import Path

MOST = 1_000
VERBS = frozenset({"add", "replace", "remove"})
MISSING = object()
"""Stands for a value that was not sent, which is not null."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One change at one place. An operation without a path is as many as it has members."""

    verb: str
    path: Path
    value: Any = MISSING


def read(body: Mapping[str, Any]) -> list[Operation]:
    """Read the operations of a body; raise `Refused` when one is not understood."""
    given = next((value for name, value in body.items() if name.casefold() == "operations"), None)
    if not isinstance(given, list) or not given:
        raise Refused(400, "Operations must be a list of changes.", kind="invalidSyntax")
    if len(given) > MOST:
        raise Refused(413, f"A request can hold up to {MOST} operations, not {len(given)}.")
    return [operation for one in given for operation in _read(one)]


def _read(given: Any) -> Iterator[Operation]:
    fields = {name.casefold(): value for name, value in given.items()} if isinstance(given, dict) else {}
    verb = str(fields.get("op", "")).casefold()
    if verb not in VERBS:
        raise Refused(400, "op must be add, replace or remove.", kind="invalidSyntax")
    value = fields.get("value", MISSING)
    if fields.get("path"):
        yield Operation(verb, paths.read(fields["path"]), value)
    elif verb == "remove":
        raise Refused(400, "remove needs a path.", kind="noTarget")
    elif not isinstance(value, dict):
        raise Refused(400, "Without a path, value must be an object.", kind="invalidSyntax")
    else:
        for name, inner in value.items():
            yield Operation(verb, paths.read(name), inner)
