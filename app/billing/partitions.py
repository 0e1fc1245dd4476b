"""Month partitions of the ledger and of the audit trail, made before the month begins.

A month that has none is no reason to refuse a row: the default partition takes it.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from sqlalchemy import text

from app.extensions import transaction
from app.units import PLATFORM_ID

MONTHS_AHEAD = 4
"""The running month and three more."""
DEFAULT_SIZES = "select c.relname, pg_relation_size(c.oid) from pg_partitioned_table p join pg_class c on c.oid = p.partdefid order by 1"
"""The default partitions and the bytes of their rows."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One month of a table. `rows` is the planner's estimate, None before it has one; `is_stray`: rows lie in the default."""

    name: str
    rows: int | None
    size_bytes: int
    is_stray: bool


def every() -> list[Partition]:
    """List the partitions by table and month."""
    statement = text(
        "select c.relname as name, case when c.reltuples < 0 then null else c.reltuples::bigint end as rows,"
        " pg_total_relation_size(c.oid) as size_bytes,"
        " pg_relation_size(c.oid) > 0 and exists (select from pg_partitioned_table p where p.partdefid = c.oid) as is_stray"
        " from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where c.relkind = 'r' order by c.relname"
    )
    with transaction(PLATFORM_ID) as session:
        return [Partition(**row) for row in session.execute(statement).mappings()]


def strays(connection: psycopg.Connection) -> list[str]:
    """Name the default partitions that hold rows: a month had no partition, and cannot get one until they are moved.

    Asked by size, for nobody is granted a partition; one that was emptied counts until it is vacuumed.
    """
    sizes = connection.execute(DEFAULT_SIZES).fetchall()
    return [name for name, size in sizes if size]


def ensure_ahead(connection: psycopg.Connection, now: datetime) -> int:
    """Make the partitions from this month on that are missing; return how many were made."""
    made = connection.execute("select ensure_partitions(%s, %s)", [now, MONTHS_AHEAD]).fetchone()
    return int(made[0]) if made else 0


def ensure_for(connection: psycopg.Connection, instants: Iterable[datetime]) -> None:
    """Make what is missing for these instants; a failure is logged and undone, the transaction goes on."""
    months = sorted({(instant.year, instant.month) for instant in (i.astimezone(UTC) for i in instants)})
    for year, month in months:
        name = f"public.usage_event_{year:04}{month:02}"
        known = connection.execute("select to_regclass(%s) is not null", [name]).fetchone()
        if known and known[0]:
            continue
        try:
            with connection.transaction():
                connection.execute("select ensure_partitions(%s, 1)", [datetime(year, month, 1, tzinfo=UTC)])
        except (psycopg.IntegrityError, psycopg.ProgrammingError) as error:
            log.warning("a month has no partition", extra={"partition": name, "cause": type(error).__name__})
