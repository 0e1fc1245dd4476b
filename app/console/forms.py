"""Reads what people type into a form: every field at once, each problem beside its own field."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

from flask import request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from app.units import instant_of, new_id, utc_now, zone
from app.workspace.names import LONGEST, Invalid

PRICE = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?")
SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
VERSION_7 = 7
LONGEST_AHEAD, LONGEST_OPEN = timedelta(hours=1), timedelta(days=400)


@dataclass
class Form:
    """The fields as they were sent, and what is wrong with them by name. Nothing sent: the form is shown first."""

    values: MultiDict[str, str]
    problems: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Read a line without the spaces around it; empty when it is missing."""
        return self.values.get(name, "").strip()

    def whole(self, name: str) -> int | None:
        """Read a whole number; None when empty, which is not 0."""
        raw = self.text(name)
        if not raw:
            return None
        if not (raw.isascii() and raw.isdigit() and len(raw) <= 12):
            self.problems[name] = "must be a whole number, 0 or more; leave it empty for none"
            return None
        return int(raw)

    def price(self, name: str) -> Decimal | None:
        """Read dollars per million tokens; None when empty, which is not 0."""
        raw = self.text(name)
        if not raw:
            return None
        if not PRICE.fullmatch(raw):
            self.problems[name] = "must be dollars such as 0.25, with a point and at most 6 decimals"
            return None
        return Decimal(raw)

    def seconds(self, name: str) -> float | None:
        """Read a number of seconds; None when empty."""
        raw = self.text(name)
        if not raw:
            return None
        if not SECONDS.fullmatch(raw):
            self.problems[name] = "must be a number of seconds such as 2.5"
            return None
        return float(raw)

    def instant(self, name: str, timezone: str, *, before: datetime | None = None) -> datetime | None:
        """Read a wall-clock time of a zone, which must lie ahead; None when empty. What was there may stay."""
        raw = self.text(name)
        if not raw:
            return None
        if before is not None and raw == wall_clock(before, timezone):
            return before
        instant = _instant(raw, timezone)
        if instant is None:
            self.problems[name] = f"is no date and time that exists in {timezone}"
        elif instant <= utc_now():
            self.problems[name] = "lies in the past"
        return instant

    def moment(self, name: str, timezone: str) -> datetime | None:
        """Read a wall-clock time of a zone, past or ahead; None when empty."""
        raw = self.text(name)
        instant = _instant(raw, timezone) if raw else None
        if raw and instant is None:
            self.problems[name] = f"is no date and time that exists in {timezone}"
        return instant

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Take what a service refuses as a problem of the field that it names."""
        try:
            yield
        except Invalid as refused:
            self.problems[refused.field] = refused.problem


def sent() -> Form:
    """Read the running request's form."""
    return Form(request.form)


def empty(**values: str | list[str]) -> Form:
    """Make a form that shows what is there, before anybody has typed."""
    return Form(MultiDict(values))


def asked(name: str) -> str:
    """Read a word of the running request's address; what no name can hold is left out."""
    return request.args.get(name, "").replace("\0", "").strip()[:LONGEST]


def wall_clock(instant: datetime | None, timezone: str) -> str:
    """Write an instant as a date-time field of a zone has it; empty for None."""
    return instant.astimezone(zone(timezone)).strftime("%Y-%m-%dT%H:%M") if instant else ""


def fresh_id() -> UUID:
    """Make the id that a creating form carries, so that sending it twice makes one row."""
    return new_id()


def row_id(workspace_id: UUID, form: Form) -> UUID:
    """Make the new row's id from the form's `new_id`: its time, and digits that depend on the workspace.

    So the same form gives the same row, and nobody can choose the id of a row in another workspace.
    """
    try:
        given = UUID(form.text("new_id"))
        age = utc_now() - instant_of(given)
    except (ValueError, OverflowError) as error:
        raise BadRequest("The form is incomplete. Open it again.") from error
    if given.version != VERSION_7 or not -LONGEST_AHEAD < age < LONGEST_OPEN:
        raise BadRequest("The form is too old. Open it again.")
    digest = sha256(workspace_id.bytes + given.bytes).digest()
    return UUID(
        bytes=given.bytes[:6] + bytes([0x70 | digest[0] & 0x0F, digest[1], 0x80 | digest[2] & 0x3F]) + digest[3:10]
    )


def _instant(raw: str, timezone: str) -> datetime | None:
    """Find the instant of a wall-clock time: the earlier one of two, None for one that a clock change leaves out."""
    try:
        local = datetime.fromisoformat(raw)
    except ValueError:
        return None
    if local.tzinfo is not None:
        return None
    instant = local.replace(tzinfo=zone(timezone)).astimezone(UTC)
    return instant if instant.astimezone(zone(timezone)).replace(tzinfo=None) == local else None
