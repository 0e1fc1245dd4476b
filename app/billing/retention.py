"""Retention: each class of rows goes when its time is over, a little at a time, so that nobody waits for it.

| class   | what                                            | how                                    |
| ------- | ----------------------------------------------- | -------------------------------------- |
| ledger  | calls and their charges; rollups stay           | whole months, as dropped partitions    |
| audit   | the audit trail                                 | whole months, as dropped partitions    |
| details | of calls: the upstream's own usage, the client's request id | whole months, page range by page range |
| rejects | events that could not be billed                 | rows, in batches                       |

A legal hold keeps the ledger and the audit trail, whatever their age. No month younger than a year
can be dropped, by any setting: the function in the database refuses. What has no row for a month any more
must not take that for a month without calls: `kept_since` says where the ledger begins.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import psycopg
from sqlalchemy.orm import Session

from app.billing.tables import RetentionMarkRow
from app.config import Settings

REJECTS_AT_ONCE = 1000
PAGES_AT_ONCE = 256
"""2 MB of a partition, a few thousand calls: well under a tenth of a second."""
LEDGER, DETAILS = "ledger", "details"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long each class stays."""

    ledger_months: int
    audit_months: int
    details_days: int
    rejects_days: int
    legal_hold: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "Retention":
        """Take it from the settings."""
        return cls(
            ledger_months=settings.retention_ledger_months,
            audit_months=settings.retention_audit_months,
            details_days=settings.retention_details_days,
            rejects_days=settings.retention_rejects_days,
            legal_hold=settings.legal_hold,
        )


class Sweep:
    """Goes through the classes, one step at a time. Where it is in a month's pages is forgotten with it."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self._page = 0

    def step(self, connection: psycopg.Connection, now: datetime) -> bool:
        """Do one batch of the first class that has something to go; tell whether there was one.

        `connection` is one as `gateway_ingest` outside of any transaction.
        """
        steps: tuple[Callable[[psycopg.Connection, datetime], bool], ...] = (
            self._drop_ledger,
            self._drop_trail,
            self._delete_rejects,
            self._forget_details,
        )
        return any(step(connection, now) for step in steps)

    def _drop_ledger(self, connection: psycopg.Connection, now: datetime) -> bool:
        """Drop months with their charges; none while a rating run goes over one of them. A rebuild's transaction keeps all."""
        if self._retention.legal_hold:
            return False
        before = months_before(now, self._retention.ledger_months)
        with connection.transaction():
            if connection.execute(_RATED, [before]).fetchone():
                return False
            dropped = [*_drop(connection, "usage_event", before), *_drop(connection, "charge", before)]
            if dropped:
                connection.execute(_MARK, [LEDGER, before.date()])
        return bool(dropped)

    def _drop_trail(self, connection: psycopg.Connection, now: datetime) -> bool:
        if self._retention.legal_hold:
            return False
        return bool(_drop(connection, "audit_event", months_before(now, self._retention.audit_months)))

    def _delete_rejects(self, connection: psycopg.Connection, now: datetime) -> bool:
        before = now - timedelta(days=self._retention.rejects_days)
        deleted = connection.execute(
            "delete from ingest_reject where (bucket, entry_id) in"
            " (select bucket, entry_id from ingest_reject where rejected_at < %s limit %s)",
            [before, REJECTS_AT_ONCE],
        ).rowcount
        return deleted > 0

    def _forget_details(self, connection: psycopg.Connection, now: datetime) -> bool:
        """Go through the pages of the oldest month that still has them; none when the next one is too young."""
        month = _next_month_with_details(connection)
        if month is None or _after(month) > now - timedelta(days=self._retention.details_days):
            return False
        with connection.transaction():
            first, self._page = self._page, self._page + PAGES_AT_ONCE
            connection.execute(_FORGET, [_start(month), _after(month), f"({first},0)", f"({self._page},0)"])
            if self._page >= _pages(connection, month):
                self._page = 0
                connection.execute(_MARK, [DETAILS, month])
                log.info("details of calls were forgotten", extra={"month": month.isoformat()})
        return True


def months_before(now: datetime, months: int) -> datetime:
    """Find the start of the first month that stays: so many whole months before the running one."""
    month = now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1 - months
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)


def kept_since(connection: psycopg.Connection) -> datetime | None:
    """Tell where the ledger begins: older calls are dropped, and only their sums are left. None while none are."""
    row = connection.execute("select month from retention_mark where class = %s", [LEDGER]).fetchone()
    return _start(row[0]) if row else None


def kept_since_in(session: Session) -> datetime | None:
    """Tell the same in a transaction of the web's."""
    kept = session.get(RetentionMarkRow, LEDGER)
    return _start(kept.month) if kept else None


def _drop(connection: psycopg.Connection, parent: str, before: datetime) -> list[str]:
    row = connection.execute("select drop_months(%s, %s)", [parent, before]).fetchone()
    dropped: list[str] = row[0] if row else []
    if dropped:
        log.info("months past their retention were dropped", extra={"partitions": dropped})
    return dropped


def _next_month_with_details(connection: psycopg.Connection) -> date | None:
    """Find the oldest month of the ledger after the last that was gone through."""
    row = connection.execute(
        "select to_date(min(right(c.relname, 6)), 'YYYYMM') from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        r" where i.inhparent = 'usage_event'::regclass and c.relname ~ '_\d{6}$' and to_date(right(c.relname, 6), 'YYYYMM')"
        " > coalesce((select month from retention_mark where class = %s), '-infinity')",
        [DETAILS],
    ).fetchone()
    found: date | None = row[0] if row else None
    return found


def _pages(connection: psycopg.Connection, month: date) -> int:
    size = "select pg_relation_size(%s::regclass) / current_setting('block_size')::int"
    row = connection.execute(size, [f"usage_event_{month:%Y%m}"]).fetchone()
    return int(row[0]) if row else 0


def _start(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def _after(month: date) -> datetime:
    return datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)


_RATED = "select 1 from rating_run where state in ('waiting', 'running') and since < %s limit 1"
# The bounds of the month leave one partition, and those of `ctid` a few of its pages: nothing else is read.
_FORGET = (
    "update usage_event set reported = null, client_request_id = null where occurred_at >= %s and occurred_at < %s"
    " and ctid >= %s::tid and ctid < %s::tid and (reported is not null or client_request_id is not null)"
    " and state = 'settled'"
)
_MARK = (
    "insert into retention_mark as m (class, month) values (%s, %s)"
    " on conflict (class) do update set month = greatest(m.month, excluded.month)"
)
