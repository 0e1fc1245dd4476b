"""Recompute: the calls of one day of one workspace rated again, by the same price function as at first.

In an open month what differs is replaced, and the rollups by the difference. A closed month's charges stay: there
`charge.corrected_cost` says what a call comes to now, and a correction carries the difference. When such a month was
opened again, its charges are replaced too, and the correction is taken back. All of it in one transaction, call by
call, so it does not matter what has happened to a call since a dry run, or since an earlier recompute.
"""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, NamedTuple, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from app.billing import corrections, rating, rollup_zones, rollups
from app.billing.corrections import NOTHING, About, Sums, billed_of, cost_of
from app.billing.ledger import CHARGES, values_of
from app.billing.rating import Charge, Rates
from app.billing.rating_deltas import Deltas
from app.billing.rating_months import Months
from app.wire.usage import METERS

BATCH = 2000
NAMES = (
    "workspace_id, occurred_at, event_id, application_id, key_id, model_id, deployment_id, alias, provider, outcome,"
    " state, usage_source, billable, service_tier, other_meters"
)

# Where PostgreSQL knows nothing of new rows yet, joins by loops take minutes.
_PLANNING = "select set_config('enable_nestloop', 'off', true), set_config('work_mem', '32MB', true)"
_CALLS = sql.SQL("""
    select {columns}, c.price_ids, c.list_cost, c.billed_cost, c.provider_cost, c.adjustment_id, c.corrected_cost
    from usage_event u join charge c using (workspace_id, occurred_at, event_id)
    where workspace_id = %(workspace)s and u.occurred_at >= %(start)s and u.occurred_at < %(end)s
      and c.workspace_id = %(workspace)s and c.occurred_at >= %(start)s and c.occurred_at < %(end)s
      and (%(model)s::uuid is null or u.model_id = %(model)s)
    order by u.occurred_at""").format(
    columns=sql.SQL(", ").join(map(sql.Identifier, [*NAMES.replace(" ", "").split(","), *METERS]))
)
_INCOMING = """
    create temporary table rerated (occurred_at timestamptz, event_id uuid, price_ids uuid[], list_cost numeric(24, 12),
        billed_cost numeric(24, 12), provider_cost numeric(24, 12), adjustment_id uuid, run_id uuid,
        corrected_cost numeric(24, 12), is_closed boolean) on commit drop"""
_COPY = "copy rerated from stdin (format binary)"
_TYPES = ["timestamptz", "uuid", "uuid[]", "numeric", "numeric", "numeric", "uuid", "uuid", "numeric", "bool"]
_SAME = sql.SQL("""
    from rerated r where c.workspace_id = %(workspace)s and c.occurred_at >= %(start)s and c.occurred_at < %(end)s
      and c.occurred_at = r.occurred_at and c.event_id = r.event_id""")
_REPLACE = sql.SQL("""
    update charge c set ({charges}, corrected_cost, rated_at) = ({rerated}, null, now()) {same} and not r.is_closed""").format(
    charges=sql.SQL(", ").join(map(sql.Identifier, CHARGES)),
    rerated=sql.SQL(", ").join(sql.Identifier("r", name) for name in CHARGES),
    same=_SAME,
)
_CORRECT = sql.SQL("update charge c set corrected_cost = r.corrected_cost {same} and r.is_closed").format(same=_SAME)


class Part(NamedTuple):
    """The calls to rate: of one workspace, from `start` until `end`, of one model or of all."""

    workspace_id: UUID
    start: datetime
    end: datetime
    model_id: UUID | None = None


class Found(NamedTuple):
    """What a part came to. `changed` calls cost otherwise than they did; `corrected` is what that makes of corrections."""

    calls: int
    changed: int
    deltas: Deltas
    corrected: Sums


class Different(NamedTuple):
    """A call as the ledger has it, what it costs now, and the month that bills it."""

    call: Any
    charge: Charge
    month: date
    is_closed: bool


def rate(database: psycopg.Connection, part: Part, months: Months, *, run_id: UUID, replace: bool) -> Found:
    """Rate the calls of a part again, in the running transaction, and `replace` or correct what differs.

    Under the bucket's lock when it replaces, since ingest changes the same rows.
    """
    database.execute(_PLANNING)
    if replace:
        database.execute(_INCOMING)
    in_zone = rollup_zones.of(database, [part.workspace_id])[part.workspace_id]
    found = Found(0, 0, Deltas(), {})
    for batch in _calls(database, part):
        different = list(_different(batch, found.deltas, months))
        found = found._replace(calls=found.calls + len(batch), changed=found.changed + len(different))
        if replace and different:
            _add(database, different, run_id)
            _roll_up(database, different, in_zone)
            _correct(different, found.corrected)
    if replace and found.changed:
        for statement in (_REPLACE, _CORRECT):
            database.execute(statement, {"workspace": part.workspace_id, "start": part.start, "end": part.end})
    return found


def _calls(database: psycopg.Connection, part: Part) -> Iterator[list[tuple[Any, Charge]]]:
    """Read the calls in batches, each with what it costs now; memory stays flat however many there are."""
    known: set[UUID] = set()
    rates: Rates | None = None
    values = {"workspace": part.workspace_id, "start": part.start, "end": part.end, "model": part.model_id}
    with database.cursor(name="calls", row_factory=namedtuple_row) as cursor:
        cursor.execute(_CALLS, values)
        while rows := cast(list[Any], cursor.fetchmany(BATCH)):
            subjects = {subject for row in rows for subject in (row.model_id, row.deployment_id)}
            if rates is None or not subjects <= known:
                known |= subjects
                rates = rating.rates_for(database, [part.workspace_id], known)
            yield [(row, rates.charge_row(row)) for row in rows]


def _different(batch: list[tuple[Any, Charge]], found: Deltas, months: Months) -> Iterator[Different]:
    """Count every call, and give those that cost otherwise or, in an open month, by other price rows."""
    for call, charge in batch:
        month, is_closed = months.of(call.occurred_at)
        application_id = call.application_id or rollups.NO_APPLICATION
        before = call.billed_cost if call.corrected_cost is None else call.corrected_cost
        found.count((month, is_closed, application_id, call.model_id), before, charge.usd)
        if not (_is_corrected if is_closed else _is_same)(call, charge):
            yield Different(call, charge, month, is_closed)


def _is_same(call: Any, charge: Charge) -> bool:
    """Compare a stored charge with a new one. Its price rows stand in the order of the call's meters, which says nothing."""
    return (
        call.corrected_cost is None
        and call.billed_cost == charge.usd
        and call.list_cost == charge.list_usd
        and call.provider_cost == charge.provider_usd
        and call.adjustment_id == charge.adjustment_id
        and set(call.price_ids) == set(charge.price_ids)
    )


def _is_corrected(call: Any, charge: Charge) -> bool:
    """Compare what a closed month's call comes to with a new charge."""
    if call.corrected_cost is None:
        return bool(call.billed_cost == charge.usd)
    return bool(call.corrected_cost == (charge.usd or NOTHING))


def _add(database: psycopg.Connection, different: list[Different], run_id: UUID) -> None:
    with database.cursor().copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for call, charge, _, is_closed in different:
            corrected = None if charge.usd == call.billed_cost else charge.usd or NOTHING
            copy.write_row((call.occurred_at, call.event_id, *values_of(charge, run_id), corrected, is_closed))


def _roll_up(database: psycopg.Connection, different: list[Different], in_zone: ZoneInfo) -> None:
    """Change the rollups by what is replaced: they are sums of the charges."""
    replaced = [(call, charge) for call, charge, _, is_closed in different if not is_closed]
    changes = rollups.Changes()
    for call, charge in replaced:
        place, facts = rollups.place_of(call, call.occurred_at, in_zone), rollups.facts_of_row(call)
        changes.take_back(place, facts)
        changes.count(place, facts._replace(cost_usd=charge.usd, list_usd=charge.list_usd))
    if replaced:
        changes.write(database)


def _correct(different: list[Different], corrected: Sums) -> None:
    """Add up by how much more than with its earlier corrections a call comes to beyond its charge."""
    for call, charge, month, is_closed in different:
        after = (charge.usd or NOTHING) if is_closed else billed_of(call)
        about = About(call.workspace_id, month, call.application_id, call.model_id)
        corrections.add(corrected, about, 0, after - cost_of(call))
