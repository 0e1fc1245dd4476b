"""Money, tokens and time: the small exact pieces everybody needs."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NewType
from uuid import UUID
from zoneinfo import ZoneInfo

import uuid6

Usd = NewType("Usd", Decimal)
"""US dollars, exact."""

PER_MILLION = Decimal(1_000_000)
"""Prices are dollars per this many tokens."""

PLATFORM_ID = UUID("00000000-0000-7000-8000-000000000001")
"""The reserved workspace that owns what every workspace may use."""

BUCKETS = 64
"""A workspace's Redis keys live in one of this many buckets, each in one cluster slot."""


def new_id() -> UUID:
    """Make a UUIDv7; it sorts by time and an event's time is read back from it."""
    return uuid6.uuid7()


def instant_of(event_id: UUID) -> datetime:
    """Read the millisecond at which a UUIDv7 was made."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=event_id.int >> 80)


def utc_now() -> datetime:
    """Read the clock, at an edge; inside, time is an argument."""
    return datetime.now(UTC)


def bucket_of(workspace_id: UUID) -> int:
    """Choose a workspace's bucket, 0 to 63; fixed for ever, since Redis keys depend on it."""
    return (workspace_id.int ^ (workspace_id.int >> 64)) % BUCKETS


def bucket_tag(bucket: int) -> str:
    """Name a bucket as Redis keys carry it, as a cluster hash tag."""
    return "{b%02d}" % bucket


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Load a time zone by its IANA name; raise `ZoneInfoNotFoundError` when there is none."""
    return ZoneInfo(name)


def month_of(instant: datetime, in_zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Find the calendar month around an instant: its first instant and the next one's, in UTC."""
    local = instant.astimezone(in_zone)
    start = datetime(local.year, local.month, 1, tzinfo=in_zone)
    end = datetime(local.year + local.month // 12, local.month % 12 + 1, 1, tzinfo=in_zone)
    return start.astimezone(UTC), end.astimezone(UTC)


def day_of(instant: datetime, in_zone: ZoneInfo) -> datetime:
    """Find the instant at which the local day around `instant` began."""
    return start_of_day(instant.astimezone(in_zone).date(), in_zone)


def start_of_day(day: date, in_zone: ZoneInfo) -> datetime:
    """Find a local day's first instant, in UTC: the earlier midnight of two, the change itself where midnight is left out."""
    return datetime(day.year, day.month, day.day, tzinfo=in_zone).astimezone(UTC)


def local_hour_of(instant: datetime, in_zone: ZoneInfo) -> datetime:
    """Find the instant at which the local wall-clock hour around `instant` began.

    Found by stepping back, never by building a wall-clock time: the hour that is lived twice in
    autumn has two starts, and zones of +5:30 or +5:45 start theirs at odd UTC minutes.
    """
    local = instant.astimezone(in_zone)
    return instant - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def money_text(amount: Decimal) -> str:
    """Write an exact amount as plain digits, at least six and at most twelve after the point."""
    text = f"{amount:.12f}"
    whole, decimals = text.split(".")
    return f"{whole}.{decimals.rstrip('0').ljust(6, '0')}"
