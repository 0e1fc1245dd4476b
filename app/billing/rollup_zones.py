"""By whose hours rollups are built: the time zone that a workspace had at its first call or last rebuild.

A workspace's zone may change at any time. Ingest and reports go on by the zone that the rollups
have, until a rebuild moves them to the new one.
"""

import logging
from collections.abc import Iterable
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psycopg

from app.units import zone

LAYOUT = 3
"""Which rollups there are; those of days came with 2, their alias, provider and outcome with 3. Others are rebuilt."""

_KNOWN = "select workspace_id, timezone from rollup_zone where workspace_id = any(%s)"
# A workspace that is gone has UTC.
_SET = """
    insert into rollup_zone (workspace_id, timezone, layout)
    select id, coalesce(timezone, 'UTC'), %s from unnest(%s::uuid[]) as id left join workspace on workspace_id = id
    on conflict (workspace_id) do update set timezone = excluded.timezone, layout = excluded.layout
    returning workspace_id, timezone"""
_USED = """
    select id, coalesce(r.timezone, w.timezone, 'UTC') from unnest(%s::uuid[]) as id
    left join rollup_zone r on r.workspace_id = id left join workspace w on w.workspace_id = id"""
_OUTDATED = """
    select workspace_id from rollup_zone r join workspace w using (workspace_id)
    where r.timezone <> w.timezone or r.layout <> %s order by workspace_id"""

log = logging.getLogger(__name__)


def of(connection: psycopg.Connection, workspaces: Iterable[UUID]) -> dict[UUID, ZoneInfo]:
    """Find the zone of each workspace's rollups. Under their bucket's lock: a new workspace's is set to its own."""
    asked = list(workspaces)
    zones = _read(connection, _KNOWN, [asked])
    new = [workspace_id for workspace_id in asked if workspace_id not in zones]
    return zones | _read(connection, _SET, [LAYOUT, new]) if new else zones


def used(connection: psycopg.Connection, workspaces: Iterable[UUID]) -> dict[UUID, ZoneInfo]:
    """Find the zone of each workspace's rollups, its own where it has none yet. Nothing is set by that."""
    return _read(connection, _USED, [list(workspaces)])


def known(connection: psycopg.Connection, workspace_id: UUID) -> ZoneInfo | None:
    """Find the zone of a workspace's rollups; None when it has none."""
    return _read(connection, _KNOWN, [[workspace_id]]).get(workspace_id)


def follow(connection: psycopg.Connection, workspace_id: UUID) -> ZoneInfo:
    """Set the zone of a workspace's rollups to its own, for a rebuild in the same transaction."""
    return _read(connection, _SET, [LAYOUT, [workspace_id]])[workspace_id]


def outdated(connection: psycopg.Connection) -> list[UUID]:
    """List the workspaces whose rollups have another zone than they, or another layout than ours."""
    return [workspace_id for (workspace_id,) in connection.execute(_OUTDATED, [LAYOUT])]


def load(name: str) -> ZoneInfo:
    """Load the zone of that name; UTC when it is unknown here."""
    try:
        return zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        log.warning("a workspace's time zone is unknown here, its hours are those of UTC", extra={"timezone": name})
        return zone("UTC")


def _read(connection: psycopg.Connection, statement: str, values: list[object]) -> dict[UUID, ZoneInfo]:
    rows = connection.execute(statement.encode(), values)
    return {workspace_id: load(name) for workspace_id, name in rows}
