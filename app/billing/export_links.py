"""Links to files: signed, short-lived, and good for no longer than whoever made one may still export."""

import base64
import binascii
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from app.extensions import vault

PURPOSE = b"export link 1"
VALID = timedelta(minutes=15)
SIGNATURE_BYTES = 32
LONGEST = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Which file, who made the link, and until when it opens it."""

    workspace_id: UUID
    export_id: UUID
    user_id: UUID
    until: datetime


class _Packed(msgspec.Struct, array_like=True):
    workspace_id: UUID
    export_id: UUID
    user_id: UUID
    until_s: int


def make(workspace_id: UUID, export_id: UUID, user_id: UUID, *, now: datetime) -> str:
    """Make the word that a link ends in."""
    until_s = int((now + VALID).timestamp())
    told = msgspec.json.encode(_Packed(workspace_id, export_id, user_id, until_s))
    return base64.urlsafe_b64encode(vault().sign(PURPOSE, told) + told).decode().rstrip("=")


def read(word: str, *, now: datetime) -> Link | None:
    """Read a link's word. None: it has expired, or we have not made it."""
    try:
        raw = base64.b64decode(word[:LONGEST] + "=" * (-len(word[:LONGEST]) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    signature, told = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
    if not any(hmac.compare_digest(signature, one) for one in vault().signatures(PURPOSE, told)):
        return None
    packed = msgspec.json.decode(told, type=_Packed)
    until = datetime.fromtimestamp(packed.until_s, UTC)
    if until <= now:
        return None
    return Link(workspace_id=packed.workspace_id, export_id=packed.export_id, user_id=packed.user_id, until=until)
