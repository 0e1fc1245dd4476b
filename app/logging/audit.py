"""The audit trail's beginning: a change and its entry are one transaction, so neither is without the other.

`record` is called by the service function that makes the change. Who makes it is `actor`, which the
faces set: the console for each request, `flask apply` for a file. The worker numbers what is
written here (see `trail`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from app.extensions import after_commit, db, transaction
from app.logging import masking
from app.logging.tables import OutboxRow
from app.units import instant_of, money_text, new_id

LONGEST_TEXT = 500
ACTOR_KINDS = ("person", "key", "file", "system", "nobody")
OUTCOMES = ("done", "refused", "failed")

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something: a snapshot, with the role at the time. `nobody` has not signed in."""

    kind: str
    name: str
    id: str | None = None
    role: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


SYSTEM = Actor(kind="system", name="system")

actor: ContextVar[Actor] = ContextVar("actor", default=SYSTEM)
"""Who acts now. A face that serves many people sets it at the start of each request."""

_written: ContextVar[int] = ContextVar("written", default=0)


@contextmanager
def acting(who: Actor) -> Iterator[None]:
    """Be somebody while the block runs."""
    before = actor.set(who)
    try:
        yield
    finally:
        actor.reset(before)


def record(  # noqa: PLR0913 - an entry is all of this
    action: str,
    *,
    kind: str,
    id: UUID | str,  # noqa: A002 - reads as the row does
    name: str,
    before: Fields | None = None,
    after: Fields | None = None,
    outcome: str = "done",
    reason: str | None = None,
) -> None:
    """Write down what the running transaction does, in the workspace that it works on.

    Given both `before` and `after`, only the fields that differ are kept; when none does, nothing was
    changed and nothing is written. Secrets are masked by name and shape; say "changed" for one.
    """
    session = db.session()
    workspace_id = session.info.get("workspace_id")
    if workspace_id is None:
        raise RuntimeError("an audit entry belongs into the transaction of its change")
    if before is not None and after is not None:
        before, after = _differing(before, after)
        if not before and not after and outcome == "done":
            return
    audit_id = new_id()
    values = {
        "action": action,
        "object_kind": kind,
        "object_id": _clean(str(id)),
        "object_name": _clean(name),
        "before": _stored(before),
        "after": _stored(after),
        "outcome": outcome,
        "reason": _clean(reason),
    }
    own = {"workspace_id": workspace_id, "occurred_at": instant_of(audit_id), "audit_id": audit_id}
    session.execute(insert(OutboxRow).values(own | values | _actor_columns(actor.get())))
    after_commit("audit", _count)


def refused(  # noqa: PLR0913 - an entry is all of this
    workspace_id: UUID,
    action: str,
    *,
    kind: str,
    id: UUID | str,  # noqa: A002
    name: str = "",
    reason: str,
    outcome: str = "refused",
) -> None:
    """Write down, in a transaction of its own, what was asked for and not done."""
    with transaction(workspace_id):
        record(action, kind=kind, id=id, name=name, outcome=outcome, reason=reason)


def written() -> int:
    """Count the transactions with entries that this thread has committed; two readings tell whether there were any."""
    return _written.get()


def known_as(*, kind: str, id: str, name: str) -> None:  # noqa: A002
    """Say who acts from here on in the running block of `acting`: somebody has just signed in."""
    actor.set(replace(actor.get(), kind=kind, id=id, name=name))


def _count() -> None:
    _written.set(_written.get() + 1)


def _differing(before: Fields, after: Fields) -> tuple[dict[str, Any], dict[str, Any]]:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before.get(name) for name in names if name in before}, {
        name: after.get(name) for name in names if name in after
    }


def _actor_columns(who: Actor) -> dict[str, str | None]:
    return {
        "actor_kind": who.kind,
        "actor_id": _clean(who.id),
        "actor_name": _clean(who.name),
        "actor_role": who.role,
        "ip": _clean(who.ip),
        "user_agent": _clean(who.user_agent),
        "request_id": _clean(who.request_id),
    }


def _clean(value: str | None) -> str | None:
    """Mask a text and make it one that PostgreSQL stores: no NUL, no half of a surrogate pair, not endless."""
    return None if value is None else masking.storable(value, LONGEST_TEXT)


def _stored(fields: Fields | None) -> dict[str, Any] | None:
    """Turn fields into JSON that PostgreSQL stores, masked."""
    return None if fields is None else {str(name): value for name, value in masking.document(_plain(fields)).items()}


def _plain(value: Any) -> Any:
    """Say values in JSON's words: money exactly, instants in UTC, ids as text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal):
        return money_text(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value if value is None or isinstance(value, bool | int | float | str | bytes) else str(value)
