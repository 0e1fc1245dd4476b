"""Read models held against the ledger: their digest, and which of them have other sums than it."""

from datetime import datetime
from hashlib import sha256
from uuid import UUID

import psycopg
from psycopg import sql

from app.billing.rollups import SUMS
from app.billing.tables import ROLLUPS
from app.wire.usage import METERS

_ROWS = "copy (select t::text from {table} t where workspace_id = {workspace} order by {keys}) to stdout"
_LEDGER = sql.SQL("""
    select count(*), count(*) filter (where u.outcome not in ('done', 'unsettled')),
        count(*) filter (where u.state = 'provisional'), count(*) filter (where u.usage_source = 'estimated'),
        count(*) filter (where c.billed_cost is null), {meters}, coalesce(sum(c.list_cost), 0),
        coalesce(sum(c.billed_cost), 0)
    from usage_event u left join charge c on c.workspace_id = u.workspace_id and c.occurred_at = u.occurred_at
        and c.event_id = u.event_id and c.occurred_at >= %(start)s and c.occurred_at < %(end)s
    where u.workspace_id = %(workspace)s and u.occurred_at >= %(start)s and u.occurred_at < %(end)s""").format(
    meters=sql.SQL(", ").join(sql.SQL("coalesce(sum(u.{}), 0)").format(sql.Identifier(meter)) for meter in METERS)
)


def digests(database: psycopg.Connection, workspace_id: UUID) -> dict[str, str]:
    """Give the SHA-256 of each read model of a workspace, over its rows as text in the order of their keys."""
    return {table.name: _digest(database, table.name, workspace_id) for table in ROLLUPS.values()}


def wrong(database: psycopg.Connection, workspace_id: UUID, start: datetime, end: datetime) -> list[str]:
    """Name the read models whose sums of some whole days are not the ledger's. Under the bucket's lock."""
    values = {"workspace": workspace_id, "start": start, "end": end}
    ledger = database.execute(_LEDGER, values).fetchone()
    found = {table.name: database.execute(_sums(table.name), values).fetchone() for table in ROLLUPS.values()}
    return sorted(name for name, sums in found.items() if sums != ledger)


def _digest(database: psycopg.Connection, name: str, workspace_id: UUID) -> str:
    keys = [column.name for table in ROLLUPS.values() if table.name == name for column in table.primary_key]
    query = sql.SQL(_ROWS).format(
        table=sql.Identifier(name),
        workspace=sql.Literal(workspace_id),
        keys=sql.SQL(", ").join(map(sql.Identifier, keys)),
    )
    digest = sha256()
    with database.cursor().copy(query) as copy:
        for row in copy:
            digest.update(row)
    return digest.hexdigest()


def _sums(name: str) -> sql.Composed:
    period = "day_start" if name == ROLLUPS["day"].name else "hour_start"
    return sql.SQL(
        "select {sums} from {table} where workspace_id = %(workspace)s and {period} >= %(start)s and {period} < %(end)s"
    ).format(
        sums=sql.SQL(", ").join(sql.SQL("coalesce(sum({}), 0)").format(sql.Identifier(one)) for one in SUMS),
        table=sql.Identifier(name),
        period=sql.Identifier(period),
    )
