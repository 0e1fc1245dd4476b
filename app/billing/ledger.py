"""The ledger's rows: written by COPY into a temporary table, then merged in one statement.

COPY into tables with row-level security is refused by PostgreSQL, and a statement for each row is
fourteen times slower.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb
from sqlalchemy.dialects import postgresql

from app.billing.entries import Entry
from app.billing.events import UsageEvent
from app.billing.rating import Charge
from app.billing.tables import UsageEventRow
from app.wire.usage import METERS

KEY = ("workspace_id", "occurred_at", "event_id")
COLUMNS = tuple(c.name for c in UsageEventRow.__table__.columns if c.name != "ingested_at")
CHARGES = ("price_ids", "list_cost", "billed_cost", "provider_cost", "adjustment_id", "run_id")
"""What rating decides, in the order of `values_of`."""
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no type for it
_TYPES = [c.type.compile(_DIALECT).lower() for c in UsageEventRow.__table__.columns if c.name in COLUMNS]
_COPY_TYPES = [*_TYPES, "uuid[]", "numeric", "numeric", "numeric", "uuid", "uuid"]


class Line(NamedTuple):
    """One call ready to be written."""

    entry: Entry
    charge: Charge


class Written(NamedTuple):
    """What a batch did to the ledger: the calls that were new, and pairs of replaced row and new line."""

    added: list[Line]
    replaced: list[tuple[Any, Line]]


def prepare(connection: psycopg.Connection) -> None:
    """Make the temporary table of this transaction; it is gone with it."""
    connection.execute(
        "create temporary table incoming (like usage_event including defaults,"
        " price_ids uuid[], list_cost numeric(24, 12), billed_cost numeric(24, 12), provider_cost numeric(24, 12),"
        " adjustment_id uuid, run_id uuid) on commit drop"
    )


def write(connection: psycopg.Connection, lines: Sequence[Line]) -> Written:
    """Add the calls that are new, let settled ones replace provisional ones, drop the rest as doubles."""
    connection.execute("truncate incoming")
    _copy(connection, lines)
    added = set(connection.execute(_ADD, binary=True))
    new = [line for line in lines if _call(line.entry.event) in added]
    if len(new) == len(lines):
        return Written(new, [])
    return Written(new, _replace(connection, lines))


def _call(event: UsageEvent) -> tuple[UUID, UUID]:
    return event.workspace_id, event.event_id


def _copy(connection: psycopg.Connection, lines: Iterable[Line]) -> None:
    with connection.cursor().copy(_COPY) as copy:
        copy.set_types(_COPY_TYPES)
        for line in lines:
            copy.write_row(_row(line))


def _row(line: Line) -> tuple[Any, ...]:
    """The values of `COLUMNS` and `CHARGES`, in that order."""
    entry, charge = line
    event = entry.event
    meters = event.meters
    return (
        event.workspace_id,
        entry.occurred_at,
        event.event_id,
        event.application_id,
        event.key_id,
        event.model_id,
        event.alias,
        event.deployment_id,
        event.provider,
        event.upstream_model,
        event.state,
        event.outcome,
        event.error_code,
        event.http_status,
        event.streamed,
        event.attempts,
        event.usage_source,
        event.billable,
        event.billable_reason,
        *[meters.get(meter, 0) for meter in METERS],
        _others(meters),
        _reported(event.reported),
        event.latency_ms,
        event.first_byte_ms,
        event.client_request_id,
        event.service_tier,
        *values_of(charge),
    )


def values_of(charge: Charge, run_id: UUID | None = None) -> tuple[Any, ...]:
    """Lay a charge out as `CHARGES`; `run_id` is the rating run that made it, None for ingest."""
    return (
        list(charge.price_ids),
        charge.list_usd,
        charge.usd,
        charge.provider_usd,
        charge.adjustment_id,
        run_id,
    )


_COMMON = frozenset(METERS)


def _others(meters: Mapping[str, int]) -> Jsonb:
    """Gather the meters that have no column of their own."""
    rare = {name: count for name, count in meters.items() if name not in _COMMON}
    return Jsonb(msgspec.json.encode(rare) if rare else b"{}", _as_it_is)


def _reported(value: dict[str, Any] | None) -> Jsonb | None:
    """Pass the upstream's own usage object on; None when it holds a NUL, which PostgreSQL cannot store.

    It is evidence, not quantity: the call is billed without it.
    """
    encoded = msgspec.json.encode(value) if value is not None else None
    return None if encoded is None or b"\\u0000" in encoded else Jsonb(encoded, _as_it_is)


def _as_it_is(encoded: bytes) -> bytes:
    return encoded


def _replace(connection: psycopg.Connection, lines: Sequence[Line]) -> list[tuple[Any, Line]]:
    """Put settled calls in the place of provisional ones; answer each old row and the line that replaced it."""
    instants = [line.entry.occurred_at for line in lines]
    span = {"first": min(instants), "last": max(instants)}
    old: list[Any] = connection.cursor(row_factory=namedtuple_row).execute(_PROVISIONAL, span).fetchall()
    if not old:
        return []
    connection.execute(_SETTLE, span)
    by_call = {_call(line.entry.event): line for line in lines}
    return [(row, by_call[row.workspace_id, row.event_id]) for row in old]


def _names(columns: Iterable[str], of: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(of, column) if of else sql.Identifier(column) for column in columns)


_REST = [column for column in COLUMNS if column not in KEY]
_COPY = sql.SQL("copy incoming ({}) from stdin (format binary)").format(_names([*COLUMNS, *CHARGES]))
_ADD = sql.SQL(
    "with added as ("
    "  insert into usage_event ({columns}) select {columns} from incoming on conflict do nothing returning {key}"
    "), rated as ("
    "  insert into charge ({key}, {charges}) select {key}, {charges} from incoming join added using ({key})"
    "  on conflict do nothing"
    ") select workspace_id, event_id from added"
).format(columns=_names(COLUMNS), key=_names(KEY), charges=_names(CHARGES))
_REPLACED = sql.SQL(
    "({u_key}) = ({i_key}) and u.state = 'provisional' and i.state = 'settled'"
    " and u.occurred_at between %(first)s and %(last)s"
).format(u_key=_names(KEY, "u"), i_key=_names(KEY, "i"))
_PROVISIONAL = sql.SQL(
    "select u.*, c.list_cost, c.billed_cost, c.corrected_cost from incoming i, usage_event u join charge c using ({key}) where {replaced}"
).format(key=_names(KEY), replaced=_REPLACED)
_SETTLE = sql.SQL(
    "with settled as ("
    "  update usage_event u set ({rest}, ingested_at) = ({i_rest}, clock_timestamp()) from incoming i where {replaced}"
    "  returning {u_key}"
    ") update charge c set ({charges}, corrected_cost, rated_at) = ({i_charges}, null, now()) from incoming i join settled using ({key})"
    " where ({c_key}) = ({i_key}) and c.occurred_at between %(first)s and %(last)s"
).format(
    rest=_names(_REST),
    i_rest=_names(_REST, "i"),
    replaced=_REPLACED,
    charges=_names(CHARGES),
    i_charges=_names(CHARGES, "i"),
    key=_names(KEY),
    u_key=_names(KEY, "u"),
    c_key=_names(KEY, "c"),
    i_key=_names(KEY, "i"),
)
