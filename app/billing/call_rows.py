"""The columns of the calls' CSV and the statements that read them: everything needed to check a bill by hand."""

from datetime import datetime

from psycopg import sql

from app.billing.dimensions import NOBODY, TAG, Value
from app.billing.export_columns import Column, selected
from app.billing.figures import Scope
from app.model.prices import FALLBACKS
from app.wire.usage import METERS


def chain_of(meter: str) -> list[str]:
    """List a meter and the meters whose price it takes without one of its own, in that order."""
    chain = [meter]
    while chain[-1] in FALLBACKS:
        chain.append(FALLBACKS[chain[-1]])
    return chain


_NARROWED = {
    "application": "u.application_id",
    "model": "u.model_id",
    "key": "u.key_id",
    "member": "k.owner_id",
    "alias": "u.alias",
    "provider": "u.provider",
    "status": "u.outcome",
    "cost_centre": "a.cost_centre",
}
"""Dimension → what a call is narrowed down by."""
_INSTANT = "to_char(u.occurred_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
ALL: tuple[Column, ...] = (
    Column(name="occurred_at_utc", value=_INSTANT),
    Column(name="workspace", value="(select name from workspace where workspace_id = {workspace})", text=True),
    Column(name="application", value="a.name", text=True),
    Column(name="cost_centre", value="a.cost_centre", text=True),
    Column(name="key", value="k.name", text=True),
    Column(name="key_prefix", value="k.prefix", text=True),
    Column(name="model_alias", value="u.alias", text=True),
    Column(name="deployment", value="u.upstream_model", text=True),
    Column(name="provider", value="u.provider", text=True),
    Column(name="status", value="u.outcome", text=True),
    Column(name="http_status", value="u.http_status"),
    Column(name="error_code", value="u.error_code", text=True),
    Column(name="state", value="u.state"),
    Column(name="usage_source", value="u.usage_source"),
    Column(name="billable", value="u.billable::text"),
    Column(name="billable_reason", value="u.billable_reason", text=True),
    Column(name="service_tier", value="u.service_tier", text=True),
    *(Column(name=f"{meter}_tokens", value=f"u.{meter}", sum=True) for meter in METERS),
    Column(name="other_meters", value="nullif(u.other_meters, '{{}}')"),
    *(Column(name=f"{m}_unit_price", value=f"case when u.{m} > 0 then p.{m} end") for m in METERS),
    Column(name="other_unit_prices", value="p.others"),
    Column(name="price_factor", value="p.factor"),
    Column(name="list_cost", value="trim_scale(c.list_cost)", sum=True),
    Column(name="billed_cost", value="trim_scale(c.billed_cost)", sum=True),
    Column(name="currency", value="c.currency"),
    Column(name="price_ids", value="p.ids"),
    Column(name="latency_ms", value="u.latency_ms"),
    Column(name="ttft_ms", value="u.first_byte_ms"),
    Column(name="request_id", value="u.event_id"),
    Column(name="client_request_id", value="u.client_request_id", text=True),
    Column(name="tags", value="nullif(a.tags, '{{}}')"),
)
"""Unit prices are what was billed: dollars per million tokens, the factor included."""

# Both tables are cut to the span before they are joined. A call's prices are those that rated it, by its own ids;
# there are few sets of them, so all that follows from a set is worked out once. What the provider takes is nobody's
# business here.
_SETS = """
    rated as materialized (
        select distinct c.price_ids, coalesce(c.adjustment_id, {nothing}) as adjustment_id from charge c where {charged}
    ),
    sets as materialized (
        select r.price_ids, r.adjustment_id, trim_scale(d.factor) as factor, array_to_string(r.price_ids, ' ') as ids,
            found.*
        from rated r
        left join price_adjustment d on d.workspace_id = {workspace} and d.adjustment_id = r.adjustment_id
        cross join lateral (
            select {prices},
                jsonb_object_agg(meter, trim_scale(unit_price) order by kind desc)
                    filter (where meter <> all({meters}) and kind <> 'provider_cost') as others
            from price where price_id = any(r.price_ids)
        ) found
    )"""
_CALLED = """
    from usage_event u
    join charge c on c.occurred_at = u.occurred_at and c.event_id = u.event_id"""
_ROWS = """
    with {sets}
    select {columns}
    {calls}
    left join application a on a.workspace_id = {workspace} and a.application_id = u.application_id
    left join api_key k on k.workspace_id = {workspace} and k.key_id = u.key_id
    left join sets p on p.price_ids = c.price_ids and p.adjustment_id = coalesce(c.adjustment_id, {nothing})
    where {called} and {charged}
    order by u.occurred_at, u.event_id"""
_COUNTED = "select count(*), {sums} {calls} where {called} and {charged}"


def rows(scope: Scope, *, as_of: datetime | None = None) -> sql.Composed:
    """Select the calls of a scope, the oldest first; `as_of`: those alone that the ledger had then."""
    known = _known(scope, as_of)
    values = known | {"columns": selected(ALL, **known), "prices": sql.SQL(", ").join(map(_billed_price, METERS))}
    return sql.SQL(_ROWS).format(sets=sql.SQL(_SETS).format(**values), **values)


def counted(scope: Scope, *, as_of: datetime) -> sql.Composed:
    """Ask how many calls `rows` selects, and for the sums of its columns, from the ledger alone."""
    sums = [sql.SQL("coalesce(sum({}), 0)").format(sql.SQL(one.value)) for one in ALL if one.sum]
    return sql.SQL(_COUNTED).format(sums=sql.SQL(", ").join(sums), **_known(scope, as_of))


def _known(scope: Scope, as_of: datetime | None) -> dict[str, sql.Composable]:
    """What stands in the statements for the names in them."""
    only = [_only(dimension, one) for dimension, one in scope.only.given.items()]
    until = [sql.SQL("u.ingested_at <= {}").format(sql.Literal(as_of))] if as_of else []
    return {
        "calls": sql.SQL(_CALLED),
        "workspace": sql.Literal(scope.workspace_id),
        "nothing": sql.Literal(NOBODY),
        "meters": sql.Literal(list(METERS)),
        "charged": _within("c", scope),
        "called": sql.SQL(" and ").join([_within("u", scope), *only, *until]),
    }


def _billed_price(meter: str) -> sql.Composed:
    """What a meter was billed by: its contract's price before its list price times the factor, then its neighbour's."""
    text = "max(unit_price) filter (where meter = {meter} and kind = {kind}) * {factor}"
    factors = (("contract", "1"), ("list", "coalesce(d.factor, 1)"))
    prices = [
        sql.SQL(text).format(meter=sql.Literal(name), kind=sql.Literal(kind), factor=sql.SQL(factor))
        for name in chain_of(meter)
        for kind, factor in factors
    ]
    return sql.SQL("trim_scale(coalesce({})) as {}").format(sql.SQL(", ").join(prices), sql.Identifier(meter))


def _within(table: str, scope: Scope) -> sql.Composed:
    span = "{0}.workspace_id = {1} and {0}.occurred_at >= {2} and {0}.occurred_at < {3}"
    values = [sql.Literal(value) for value in (scope.workspace_id, scope.start, scope.end)]
    return sql.SQL(span).format(sql.Identifier(table), *values)


def _only(dimension: str, one: Value) -> sql.Composed:
    """The condition for one value of a dimension; what is missing is null, or empty."""
    name = sql.Literal(dimension.removeprefix(TAG))
    column = sql.SQL("a.tags ->> {}").format(name) if dimension.startswith(TAG) else sql.SQL(_NARROWED[dimension])
    if one in (NOBODY, ""):
        return sql.SQL("coalesce({}, {}) = {}").format(column, *[sql.Literal(one)] * 2)
    return sql.SQL("{} = {}").format(column, sql.Literal(one))
