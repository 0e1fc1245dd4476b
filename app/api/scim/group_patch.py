"""Reads what a group shall become: a whole document, or the operations of a PATCH, as steps for the service."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from app.api.scim.answers import Refused
from app.api.scim.operations import MISSING, Operation
from app.auth import scim_documents
from app.auth.scim_members import Step
from app.workspace.names import Invalid

MOST_MEMBERS = 1_000
"""Of one request; Entra ID sends more in several."""
LONGEST_NAME = 256


def of_document(body: Mapping[str, Any], *, new: bool) -> list[Step]:
    """Read a whole group. What an old one had and this one has not, is taken away."""
    given = {name.casefold(): value for name, value in body.items()}
    steps = [Step("name", _name(given.get("displayname")))]
    steps.append(Step("external_id", _external_id(given.get("externalid"))))
    people = _people(given.get("members") or [])
    steps.append(Step("add" if new else "set", people=people))
    return _limited(steps)


def of_operations(operations: Sequence[Operation]) -> list[Step]:
    """Read the changes of a group, in their order; raise `Refused` for one that it has not."""
    return _limited([step for operation in operations for step in _steps(operation)])


def _steps(operation: Operation) -> Iterator[Step]:
    attribute = "" if operation.path.schema else str(operation.path.name)
    if attribute == "members":
        yield _of_members(operation)
    elif attribute == "displayName":
        yield Step("name", _name(None if operation.verb == "remove" else operation.value))
    elif attribute == "externalId":
        yield Step("external_id", _external_id(None if operation.verb == "remove" else operation.value))
    elif attribute not in {"id", "schemas", "meta"}:
        raise Refused(400, "A group has displayName, externalId and members.", kind="invalidPath")


def _of_members(operation: Operation) -> Step:
    if operation.path.conditions:
        people = [_person(one.value) for one in operation.path.conditions if one.attribute == "value"]
        if len(people) != 1 or len(operation.path.conditions) != 1:
            raise Refused(400, 'Members are chosen by members[value eq "<id>"].', kind="invalidPath")
        return Step("remove" if operation.verb == "remove" else "add", people=people)
    if operation.verb == "remove" and operation.value in (MISSING, None):
        return Step("remove", people=None)
    word = {"add": "add", "replace": "set", "remove": "remove"}[operation.verb]
    return Step(word, people=_people([] if operation.value is MISSING else operation.value or []))


def _people(given: Any) -> list[UUID]:
    """Read members: objects with a value, or bare ids."""
    items = given if isinstance(given, list) else [given]
    return [_person(_member_value(item)) for item in items]


def _member_value(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return next((value for name, value in item.items() if name.casefold() == "value"), None)


def _person(value: Any) -> UUID:
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise Invalid("members", "must be ids of users of this provider") from error


def _name(value: Any) -> str:
    if value in (None, MISSING):
        raise Invalid("displayName", "is missing")
    return scim_documents.line("displayName", value, LONGEST_NAME)


def _external_id(value: Any) -> str | None:
    return None if value in (None, MISSING, "") else scim_documents.line("externalId", value)


def _limited(steps: list[Step]) -> list[Step]:
    named = sum(len(step.people or ()) for step in steps)
    if named > MOST_MEMBERS:
        raise Refused(413, f"A request can name up to {MOST_MEMBERS} members, not {named}. Send several.")
    return steps
