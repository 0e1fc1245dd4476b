"""Rollups: sums of the ledger by workspace-local hour, in several narrow tables, and by day in one wider one.

They are read models: each can be made again from the ledger. Ingest changes them only by the
difference that its own rows make, in the transaction that writes those rows.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from operator import add
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql
from sqlalchemy import Column, Text

from app.billing.events import DONE, ESTIMATED, PROVISIONAL, UNSETTLED
from app.billing.tables import COUNTS, ROLLUPS
from app.units import day_of, local_hour_of
from app.wire.usage import METERS

NO_APPLICATION = UUID(int=0)
"""Stands for the missing application of a call, so that every table adds up to the same."""
QUARTER_S = 900
SUMS = (*COUNTS, *METERS, "list_cost", "billed_cost")
"""The columns that are added to, in the order of an `Amounts`."""

Amounts = tuple[int | Decimal, ...]


class Place(NamedTuple):
    """Where one call counts in every rollup."""

    workspace_id: UUID
    hour_start: datetime
    day_start: datetime
    key_id: UUID
    application_id: UUID
    model_id: UUID
    deployment_id: UUID
    alias: str
    provider: str
    outcome: str


class Facts(NamedTuple):
    """What the sums need to know of one call. `cost_usd` is what is billed; None is unpriced. `list_usd` may be None beside it.

    Or of `calls` calls of one kind: then meters and costs are theirs together.
    """

    outcome: str
    state: str
    usage_source: str
    meters: Mapping[str, int]
    cost_usd: Decimal | None
    list_usd: Decimal | None
    calls: int = 1


class Changes:
    """Differences to the rollups, gathered by place and written once for each row."""

    def __init__(self) -> None:
        self._sums: dict[Place, Amounts] = {}
        self._removed = False

    def count(self, place: Place, facts: Facts) -> None:
        """Add one call."""
        self._add(place, amounts(facts))

    def take_back(self, place: Place, facts: Facts) -> None:
        """Take away one call that was counted before."""
        self._add(place, tuple(-amount for amount in amounts(facts)))
        self._removed = True

    def write(self, connection: psycopg.Connection) -> None:
        """Add the differences to every rollup, rows in the order of their keys; rows without calls are deleted."""
        for dimension in ROLLUPS:
            keys = _keys(dimension)
            sums = self._by(keys)
            columns = zip(*((*key, *values) for key, values in sorted(sums.items())), strict=True)
            connection.execute(_adding(dimension), [list(column) for column in columns])
            if self._removed:
                periods = sorted({(key[0], key[1]) for key in sums})
                workspaces, starts = (list(column) for column in zip(*periods, strict=True))
                connection.execute(_deleting(dimension), [workspaces, starts])

    def _add(self, place: Place, more: Amounts) -> None:
        known = self._sums.get(place)
        self._sums[place] = more if known is None else tuple(map(add, known, more))

    def _by(self, keys: list[str]) -> dict[tuple[Any, ...], Amounts]:
        """Add the places up by a rollup's own key."""
        sums: dict[tuple[Any, ...], Amounts] = {}
        positions = [Place._fields.index(name) for name in keys]
        for place, more in self._sums.items():
            key = tuple(place[position] for position in positions)
            known = sums.get(key)
            sums[key] = more if known is None else tuple(map(add, known, more))
        return sums


def place_of(call: Any, occurred_at: datetime, in_zone: ZoneInfo) -> Place:
    """Find where a call counts; an event and a row of the ledger have the same names."""
    return Place(
        call.workspace_id,
        *starts_of(occurred_at, in_zone),
        call.key_id,
        call.application_id or NO_APPLICATION,
        call.model_id,
        call.deployment_id,
        call.alias,
        call.provider,
        call.outcome,
    )


def facts_of_row(row: Any) -> Facts:
    """Take the facts of a call from its row in the ledger, joined with its charge."""
    meters = {meter: getattr(row, meter) for meter in METERS}
    return Facts(row.outcome, row.state, row.usage_source, meters, row.billed_cost, row.list_cost)


def clear(connection: psycopg.Connection, workspace_id: UUID, since: datetime) -> None:
    """Delete the rollups of a workspace's hours and days from an instant on."""
    statement = sql.SQL("delete from {} where workspace_id = %s and {} >= %s")
    for dimension, table in ROLLUPS.items():
        names = map(sql.Identifier, (table.name, _keys(dimension)[1]))
        connection.execute(statement.format(*names), [workspace_id, since])


def amounts(facts: Facts) -> Amounts:
    """Say what calls of one kind add to each column of `SUMS`."""
    calls, cost = facts.calls, facts.cost_usd
    return (
        calls,
        calls * (facts.outcome not in (DONE, UNSETTLED)),
        calls * (facts.state == PROVISIONAL),
        calls * (facts.usage_source == ESTIMATED),
        calls * (cost is None),
        *[facts.meters.get(meter, 0) for meter in METERS],
        facts.list_usd or Decimal(0),
        cost or Decimal(0),
    )


def starts_of(instant: datetime, in_zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Find the starts of the local hour and the local day around an instant, from memory when the quarter-hour is known.

    Since 1972 every zone's offset is a whole number of quarter-hours, and so is every change of one:
    within a quarter-hour of UTC the local hour is the same.
    """
    return _starts_of_quarter(int(instant.timestamp()) // QUARTER_S, in_zone)


@lru_cache(maxsize=65_536)
def _starts_of_quarter(quarter: int, in_zone: ZoneInfo) -> tuple[datetime, datetime]:
    instant = datetime.fromtimestamp(quarter * QUARTER_S, UTC)
    return local_hour_of(instant, in_zone), day_of(instant, in_zone)


@lru_cache
def _adding(dimension: str) -> sql.Composed:
    """One statement for all rows: a list for each column, then the sum with what is there."""
    table = ROLLUPS[dimension]
    lists = sql.SQL(", ").join(sql.SQL("%s::text[]" if _is_text(one) else "%s") for one in table.columns)
    added = sql.SQL(", ").join(sql.SQL("{0} = r.{0} + excluded.{0}").format(sql.Identifier(name)) for name in SUMS)
    return sql.SQL(
        "insert into {table} as r ({columns}) select * from unnest({lists}) on conflict ({keys}) do update set {added}"
    ).format(
        table=sql.Identifier(table.name),
        columns=_names(column.name for column in table.columns),
        lists=lists,
        keys=_names(_keys(dimension)),
        added=added,
    )


@lru_cache
def _deleting(dimension: str) -> sql.Composed:
    return sql.SQL(
        "delete from {} where ({}) in (select * from unnest(%s::uuid[], %s::timestamptz[])) and requests = 0"
    ).format(sql.Identifier(ROLLUPS[dimension].name), _names(_keys(dimension)[:2]))


def _keys(dimension: str) -> list[str]:
    """The columns of a rollup's key: the workspace and the start of the hour or day lead."""
    return [column.name for column in ROLLUPS[dimension].primary_key]


def _is_text(column: Column[Any]) -> bool:
    """Tell whether PostgreSQL must be told the type of a column's list: psycopg sends texts without one."""
    return isinstance(column.type, Text)


def _names(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
