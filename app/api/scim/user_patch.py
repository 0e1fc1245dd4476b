"""Changes a user's document as the operations of a PATCH say. Pure: the document that comes in stays as it is."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from app.api.scim.answers import Refused
from app.api.scim.operations import MISSING, Operation
from app.auth.scim_documents import Document
from app.auth.scim_matches import Condition

SINGLE = frozenset({"active", "userName", "externalId", "displayName"})
"""Attributes of one value, which some clients wrap as lists of one."""
LABELS = frozenset({"type", "primary"})
"""What says which one an item is. An item that has nothing else is none."""


def apply(document: Mapping[str, Any], operations: Sequence[Operation]) -> Document:
    """Do the operations in their order; raise `Refused` for one that cannot be done."""
    changed = copy.deepcopy(dict(document))
    for operation in operations:
        path = operation.path
        if path.schema is None:
            _do(changed, operation)
        elif path.name is None:
            _at(changed, path.schema, operation)
        else:
            extension = changed.setdefault(path.schema, {})
            if not isinstance(extension, dict):
                raise Refused(400, f"{path.schema} must be an object.", kind="invalidValue")
            _do(extension, operation)
    return changed


def _do(target: Document, operation: Operation) -> None:
    path, name = operation.path, _present(target, str(operation.path.name))
    if path.conditions:
        target[name] = _items(target.get(name), operation)
    elif path.part:
        whole = target.setdefault(name, {})
        if not isinstance(whole, dict):
            raise Refused(400, f"{name} has several values; say which one.", kind="invalidPath")
        _at(whole, _present(whole, path.part), operation)
    else:
        _at(target, name, operation)


def _at(target: Document, name: str, operation: Operation) -> None:
    """Change one member of an object."""
    if operation.verb == "remove" or operation.value is None:
        target.pop(name, None)
        return
    value, before = _value(name, operation), target.get(name)
    if isinstance(before, dict) and isinstance(value, dict):
        target[name] = before | value
    elif isinstance(before, list) and operation.verb == "add":
        target[name] = _joined(before, value if isinstance(value, list) else [value])
    else:
        target[name] = value


def _items(before: Any, operation: Operation) -> list[Any]:
    """Change those items of a list that meet the conditions; one that is not there yet is made.

    Entra ID sends Replace for an address that nobody has yet, and means it to be there.
    """
    if before is not None and not isinstance(before, list):
        raise Refused(400, f"{operation.path.name} has one value only.", kind="invalidPath")
    items, met = [], False
    for item in before or []:
        if not _meets(item, operation.path.conditions):
            items.append(item)
            continue
        met = True
        kept = _changed_item(dict(item), operation)
        items += [kept] if kept.keys() - LABELS else []
    if not met and operation.verb != "remove":
        labels = {condition.attribute: condition.value for condition in operation.path.conditions}
        items.append(_changed_item(labels, operation))
    return items


def _changed_item(item: Document, operation: Operation) -> Document:
    part = operation.path.part
    if part:
        _at(item, _present(item, part), operation)
        return item
    if operation.verb == "remove":
        return {}
    if not isinstance(operation.value, dict):
        raise Refused(400, f"{operation.path.name} must be an object here.", kind="invalidValue")
    return item | operation.value


def _value(name: str, operation: Operation) -> Any:
    value = operation.value
    if value is MISSING:
        raise Refused(400, f"{operation.verb} needs a value.", kind="invalidValue")
    only = value[0] if isinstance(value, list) and len(value) == 1 else None
    return only["value"] if name in SINGLE and isinstance(only, dict) and "value" in only else value


def _joined(before: list[Any], more: list[Any]) -> list[Any]:
    """Add items to a list; one of a type takes the place of the one before: there is one of each type."""
    types = {item["type"] for item in more if isinstance(item, dict) and "type" in item}
    kept = [item for item in before if not (isinstance(item, dict) and item.get("type") in types) and item not in more]
    return [*kept, *more]


def _meets(item: Any, conditions: Sequence[Condition]) -> bool:
    if not isinstance(item, dict):
        return False
    given = {name.casefold(): value for name, value in item.items()}
    return all(given.get(one.attribute) == one.value for one in conditions)


def _present(target: Document, name: str) -> str:
    """Find how an attribute is written where it is already."""
    return next((known for known in target if known.casefold() == name.casefold()), name)
