"""The rows of a FOCUS file, asked of the ledger: those of a day, and what a month adds to its days."""

from datetime import datetime
from uuid import UUID

from psycopg import sql

from app.billing.call_rows import chain_of
from app.billing.export_columns import selected
from app.billing.export_rows import Asked, Part
from app.billing.focus_columns import MONTH, ROUNDING, USAGE, columns_of
from app.billing.focus_months import Month
from app.model.prices import UNITS
from app.wire.usage import METERS

ALL_METERS = (*METERS, *UNITS)

# Sums of calls that cost the same, whoever's they are: this reads the ledger, once. Numbers tell the groups apart.
_GROUPED = """
    grouped as materialized (
        select row_number() over () as n, g.* from (
            select {hour} as start_at, u.application_id, u.key_id, u.model_id, u.alias, u.deployment_id, u.provider,
                u.upstream_model, coalesce(u.service_tier, 'standard') as tier, u.usage_source, u.billable,
                c.price_ids, c.adjustment_id, c.run_id, c.currency, c.billed_cost is null as is_unpriced,
                c.list_cost is not null as is_listed, count(*) as calls,
                count(*) filter (where u.outcome not in ('done', 'unsettled')) as failed,
                {meters}, coalesce(sum((u.other_meters ->> 'image')::bigint), 0) as image,
                coalesce(sum(c.list_cost), 0) as list_cost, coalesce(sum(c.billed_cost), 0) as billed_cost,
                sum(c.provider_cost) as provider_cost
            from usage_event u
            join charge c on c.occurred_at = u.occurred_at and c.event_id = u.event_id
            where {called} and {charged} and u.ingested_at <= {until}
            group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17
        ) g
    )"""
# A meter's list price and what it was billed by, found in the price rows that a charge names.
_SETS = """
    sets as materialized (
        select s.price_ids, s.adjustment_id, m.meter, listed.unit_price as list_price,
            billed.price_id, billed.subject_id,
            billed.unit_price * case when billed.kind = 'list' then coalesce(a.factor, 1) else 1 end as billed_price,
            max(listed.unit_price) filter (where m.meter = 'input') over (partition by s.price_ids, s.adjustment_id)
                as uncached_price
        from (select distinct price_ids, adjustment_id from grouped) s
        left join price_adjustment a on a.workspace_id = {workspace} and a.adjustment_id = s.adjustment_id
        cross join (values {chains}) m(meter, chain)
        left join lateral (
            select p.unit_price from price p
            where p.price_id = any(s.price_ids) and p.kind = 'list' and p.meter = any(m.chain)
            order by array_position(m.chain, p.meter) limit 1
        ) listed on true
        left join lateral (
            select p.price_id, p.unit_price, p.kind, p.subject_id from price p
            where p.price_id = any(s.price_ids) and p.kind in ('contract', 'list') and p.meter = any(m.chain)
            order by array_position(m.chain, p.meter), p.kind limit 1
        ) billed on true
    )"""
_METERED = """
    metered as materialized (
        select g.*, m.meter, m.quantity, m.scale, p.price_id, p.subject_id, p.billed_price, p.uncached_price,
            case when g.is_listed then p.list_price end as list_price, m.quantity * p.billed_price * m.scale as billed_amount,
            case when g.is_listed then coalesce(m.quantity * p.list_price * m.scale, 0) else 0 end as list_amount,
            row_number() over (partition by g.n order by m.place) = 1 as is_first
        from grouped g
        cross join lateral (values {quantities}) m(place, meter, quantity, scale)
        left join sets p on p.price_ids = g.price_ids and p.adjustment_id is not distinct from g.adjustment_id
            and p.meter = m.meter
        where m.quantity > 0 and (m.meter <> 'request' or p.billed_price is not null)
    ),
    checked as (
        select n, bool_and(billed_price is not null) as is_known, sum(list_amount) as list_amount,
            sum(billed_amount) as billed_amount
        from metered group by n
    )"""
# A group whose prices give what its calls were charged, but for rounding, has a row for each meter. Unpriced calls and
# those that are not billable have no prices. Any other group is one row of what it was charged. What the provider takes
# is known for whole calls: it stands in the row of their first meter.
_USAGE = """
    explained as (
        select g.n, g.is_unpriced or not g.billable or (c.n is null and g.list_cost = 0 and g.billed_cost = 0) or (c.is_known
            and abs(c.list_amount - g.list_cost) <= g.calls * {most}
            and abs(c.billed_amount - g.billed_cost) <= g.calls * {most}) as by_meter
        from grouped g left join checked c using (n)
    ),
    parts as (
        select m.start_at, m.application_id, m.key_id, m.model_id, m.alias, m.deployment_id, m.provider,
            m.upstream_model, m.tier, m.usage_source, m.run_id, m.currency, m.meter, m.calls, m.failed, m.quantity,
            case when m.is_unpriced then m.calls else 0 end as unpriced,
            case when x.is_priced then m.list_price * m.scale end as list_price,
            case when x.is_priced then m.billed_price * m.scale end as billed_price,
            case when x.is_priced then m.price_id end as price_id,
            case when x.is_priced then m.subject_id end as subject_id,
            case when x.is_priced then m.list_amount else 0 end as list_amount,
            case when x.is_priced then m.billed_amount else 0 end as billed_amount,
            case when x.is_priced and m.meter = 'cache_read' then m.quantity * (m.uncached_price - m.list_price) * m.scale
            end as saved,
            case when m.is_first then m.provider_cost end as provider_amount
        from metered m
        join explained e using (n)
        cross join lateral (select m.billable and not m.is_unpriced as is_priced) x
        where e.by_meter
        union all
        select g.start_at, g.application_id, g.key_id, g.model_id, g.alias, g.deployment_id, g.provider,
            g.upstream_model, g.tier, g.usage_source, g.run_id, g.currency, 'all', g.calls, g.failed, {tokens}, 0,
            null, null, null, null, g.list_cost, g.billed_cost, null, g.provider_cost
        from grouped g join explained e using (n) where not e.by_meter
    ),
    usage as (
        select start_at, application_id, key_id, model_id, alias, deployment_id, provider, upstream_model, tier,
            usage_source, run_id, currency, meter, list_price, billed_price, price_id, subject_id,
            sum(calls) as calls, sum(failed) as failed, sum(quantity) as quantity, sum(unpriced) as unpriced,
            sum(list_amount) as list_amount, sum(billed_amount) as billed_amount, sum(saved) as saved,
            sum(provider_amount) as provider_amount
        from parts group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17
    ),
    rounding as (
        select c.list - coalesce(r.list, 0) as list_amount, c.billed - coalesce(r.billed, 0) as billed_amount,
            nullif(c.provider - coalesce(r.provider, 0), 0) as provider_amount
        from (select coalesce(sum(list_cost), 0) as list, coalesce(sum(billed_cost), 0) as billed,
                coalesce(sum(provider_cost), 0) as provider from grouped) c,
            (select sum(list_amount) as list, sum(billed_amount) as billed, sum(provider_amount) as provider from usage) r
    )"""
_DAY = """
    with {grouped}, {sets}, {metered}, {explained}
    select {usage_columns}
    from usage u
    join workspace w on w.workspace_id = {workspace}
    left join application a on a.workspace_id = {workspace} and a.application_id = u.application_id
    left join api_key k on k.workspace_id = {workspace} and k.key_id = u.key_id
    left join statement_line l on l.workspace_id = {workspace} and l.statement_id = {statement} and l.kind = 'usage'
        and l.application_id is not distinct from u.application_id and l.model_id = u.model_id
    union all
    select {rounding_columns}
    from rounding r join workspace w on w.workspace_id = {workspace}
    where r.list_amount <> 0 or r.billed_amount <> 0 or r.provider_amount is not null
    order by {ordered}"""
# What a month adds to its days: corrections of closed months, credits, and the rounding of its statement. A call that
# was provisional when the month was closed, and is settled since, is no longer as it was billed: what is missing of a
# statement's line for such calls is a row, too. What has changed by it is a correction of a later month.
_MONTH = """
    with lines as (
        select 'correction' as kind, c.correction_id as id, c.application_id, c.model_id, c.run_id, c.reason, c.amount,
            c.calls, p.starts_at as start_at, p.ends_at as end_at, null::integer as line
        from correction c left join billing_period p on p.workspace_id = c.workspace_id and p.month = c.closed_month
        where c.workspace_id = {workspace} and c.into_month = {month} and c.created_at <= {until}
        union all
        select 'credit', credit_id, null, null, null, reason, -amount, 0, null, null, null
        from credit where workspace_id = {workspace} and month = {month} and created_at <= {until}
        union all
        select 'rounding', statement_id, null, null, null, description, amount, 0, null, null, line
        from statement_line where workspace_id = {workspace} and statement_id = {statement} and kind = 'rounding'
            and amount <> 0
        union all
        select 'settled', l.statement_id, l.application_id, l.model_id, null, {settled}, l.amount - coalesce(k.amount, 0),
            l.calls - coalesce(k.calls, 0), null, null, l.line
        from statement_line l
        left join (
            select u.application_id, u.model_id, count(*) as calls, coalesce(sum(c.billed_cost), 0) as amount
            from usage_event u
            join charge c on c.occurred_at = u.occurred_at and c.event_id = u.event_id
            where {is_closed} and {called} and {charged} and u.ingested_at <= {until}
            group by 1, 2
        ) k on k.application_id is not distinct from l.application_id and k.model_id = l.model_id
        where l.workspace_id = {workspace} and l.statement_id = {statement} and l.kind = 'usage'
            and l.calls <> coalesce(k.calls, 0)
    )
    select {columns}
    from lines u
    join workspace w on w.workspace_id = {workspace}
    left join application a on a.workspace_id = {workspace} and a.application_id = u.application_id
    order by u.kind, u.id, u.line"""
SETTLED = "Calls that were provisional when the month was closed, as they were billed"

_ORDER = ("ChargePeriodStart", "SubAccountId", "x_CredentialId", "SkuId", "SkuPriceId")
_HOUR = "u.occurred_at - ((u.occurred_at at time zone {zone}) - date_trunc('hour', u.occurred_at at time zone {zone}))"
_SPAN = "{0}.workspace_id = {1} and {0}.occurred_at >= {2} and {0}.occurred_at < {3}"


def of_day(asked: Asked, month: Month, issuer: str, start: datetime, end: datetime) -> Part:
    """Ask for the rows of a day of a month."""
    hourly = asked.what.grain == "hour"
    day_start = sql.Literal(start)
    known = _known(asked, month, issuer) | _spans(asked.workspace_id, start, end)
    values: dict[str, sql.Composable] = known | {
        "day_start": day_start,
        "day_end": sql.Literal(end),
        "hour": sql.SQL(_HOUR).format(zone=sql.Literal(month.zone.key)) if hourly else day_start,
        "charge_end": sql.SQL("u.start_at + interval '1 hour'") if hourly else sql.Literal(end),
        "meters": sql.SQL(", ".join(f"sum(u.{meter}) as {meter}" for meter in METERS)),
        "chains": sql.SQL(", ").join(map(_chain, ALL_METERS)),
        "quantities": sql.SQL(", ".join(_quantity(place, meter) for place, meter in enumerate(ALL_METERS))),
        "tokens": sql.SQL(" + ".join(f"g.{meter}" for meter in METERS)),
        "most": sql.SQL(f"{len(ALL_METERS)} * 0.000000000001"),
        "ordered": sql.SQL(", ").join(map(sql.Identifier, _ORDER)),
    }
    usage, rounding = (columns_of(kind, asked.what) for kind in (USAGE, ROUNDING))
    values |= {"usage_columns": selected(usage, **values), "rounding_columns": selected(rounding, **values)}
    for name, text in (("grouped", _GROUPED), ("sets", _SETS), ("metered", _METERED), ("explained", _USAGE)):
        values[name] = sql.SQL(text).format(**values)
    return Part(columns=usage, rows=sql.SQL(_DAY).format(**values), invoice=month.number)


def of_month(asked: Asked, month: Month, issuer: str) -> Part:
    """Ask for the rows that a month adds to those of its days."""
    known = _known(asked, month, issuer) | _spans(asked.workspace_id, month.start, month.end)
    known |= {"settled": sql.Literal(SETTLED), "is_closed": sql.Literal(month.statement_id is not None)}
    columns = columns_of(MONTH, asked.what)
    rows = sql.SQL(_MONTH).format(columns=selected(columns, **known), **known)
    return Part(columns=columns, rows=rows, invoice=month.number)


def _known(asked: Asked, month: Month, issuer: str) -> dict[str, sql.Composable]:
    """What stands in the statements for the names in them. A closed month holds what it had when it was closed."""
    return {
        "workspace": sql.Literal(asked.workspace_id),
        "until": sql.Literal(month.closed_at or asked.as_of),
        "month": sql.Literal(month.day),
        "period_start": sql.Literal(month.start),
        "period_end": sql.Literal(month.end),
        "invoice": sql.SQL("{}::text").format(sql.Literal(month.number)),
        "statement": sql.SQL("{}::uuid").format(sql.Literal(month.statement_id)),
        "issuer": sql.Literal(issuer),
    }


def _spans(workspace_id: UUID, start: datetime, end: datetime) -> dict[str, sql.Composable]:
    bounds = [sql.Literal(workspace_id), sql.Literal(start), sql.Literal(end)]
    tables = {"called": "u", "charged": "c"}
    return {name: sql.SQL(_SPAN).format(sql.Identifier(table), *bounds) for name, table in tables.items()}


def _chain(meter: str) -> sql.Composed:
    return sql.SQL("({}, {}::text[])").format(sql.Literal(meter), sql.Literal(chain_of(meter)))


def _quantity(place: int, meter: str) -> str:
    quantity = "case when g.billable then g.calls else 0 end" if meter == "request" else f"g.{meter}"
    return f"({place}, '{meter}', {quantity}, {'1' if meter in UNITS else '0.000001'})"
