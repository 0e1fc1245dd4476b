"""What a browser keeps of something that is under way: sealed, so that nobody reads or changes it, and good for a while."""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from app.crypto import CannotOpen
from app.extensions import vault

BEGUN_AT = "begun_at"


def seal(values: Mapping[str, Any], context: bytes, *, now: datetime) -> str:
    """Write values down, which begin to count now; `context` keeps tickets of one kind from being taken for another's."""
    written = json.dumps({**values, BEGUN_AT: now.timestamp()}, default=str)
    return base64.urlsafe_b64encode(vault().seal(written, context)).decode()


def opened(ticket: str, context: bytes, *, life: timedelta, now: datetime) -> dict[str, Any] | None:
    """Read the values; None when the ticket is not ours, or its time is over."""
    try:
        values: dict[str, Any] = json.loads(vault().open(base64.urlsafe_b64decode(ticket.encode()), context))
    except (CannotOpen, binascii.Error, UnicodeEncodeError, IndexError):
        return None
    begun_at = datetime.fromtimestamp(values.pop(BEGUN_AT), UTC)
    return values if begun_at <= now < begun_at + life else None
