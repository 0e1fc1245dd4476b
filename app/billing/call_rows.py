"""The columns of the calls' CSV and the statement that reads them: everything needed to check a bill by hand."""

from uuid import UUID

from psycopg import sql

from app.billing.figures import Scope
from app.billing.rollups import NO_APPLICATION
from app.model.prices import FALLBACKS
from app.wire.usage import METERS

_AS_IT_IS = "{}"
_FORMULA_STARTS = ", ".join(str(ord(letter)) for letter in "=+-@\t\r\n")
_SAFE = f"case when ascii({{0}}) in ({_FORMULA_STARTS}) then '''' || {{0}} else {{0}} end"
_UNIT_PRICE = "case when u.{meter} > 0 then trim_scale(coalesce({prices})) end"


def _price_columns(meter: str) -> str:
    """The prices of a meter and of the meters whose price it takes, in that order."""
    chain = [meter]
    while chain[-1] in FALLBACKS:
        chain.append(FALLBACKS[chain[-1]])
    return ", ".join(f"p.{name}" for name in chain)


_INSTANT = "to_char(u.occurred_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
_COLUMNS: tuple[tuple[str, str, bool], ...] = (
    ("occurred_at_utc", _INSTANT, False),
    ("workspace", "w.name", True),
    ("application", "a.name", True),
    ("cost_centre", "a.cost_centre", True),
    ("key", "k.name", True),
    ("key_prefix", "k.prefix", True),
    ("model_alias", "u.alias", True),
    ("deployment", "u.upstream_model", True),
    ("provider", "u.provider", True),
    ("status", "u.outcome", True),
    ("http_status", "u.http_status", False),
    ("error_code", "u.error_code", True),
    ("state", "u.state", False),
    ("usage_source", "u.usage_source", False),
    ("billable", "u.billable::text", False),
    ("billable_reason", "u.billable_reason", True),
    *((f"{meter}_tokens", f"u.{meter}", False) for meter in METERS),
    ("other_meters", "nullif(u.other_meters, '{}')", False),
    *((f"{m}_unit_price", _UNIT_PRICE.format(meter=m, prices=_price_columns(m)), False) for m in METERS),
    ("other_unit_prices", "p.others", False),
    ("list_cost", "trim_scale(c.list_cost)", False),
    ("billed_cost", "trim_scale(c.billed_cost)", False),
    ("currency", "c.currency", False),
    ("price_ids", "array_to_string(c.price_ids, ' ')", False),
    ("latency_ms", "u.latency_ms", False),
    ("ttft_ms", "u.first_byte_ms", False),
    ("request_id", "u.event_id", False),
    ("client_request_id", "u.client_request_id", True),
    ("tags", "nullif(a.tags, '{}')", False),
)
"""Name, expression, and whether it is a text that somebody else has chosen. Unit prices are dollars per million tokens."""

COLUMNS = tuple(name for name, _, _ in _COLUMNS)

# Both tables are cut to the span before they are joined. A call's prices are those that rated it, by its own ids;
# there are few sets of them, so each set is looked up once.
_ROWS = """
    with sets as materialized (
        select rated.price_ids, {prices},
            jsonb_object_agg(meter, trim_scale(unit_price)) filter (where meter <> all({meters})) as others
        from (select distinct c.price_ids from charge c where {charged}) rated
        join price on price_id = any(rated.price_ids)
        group by rated.price_ids
    )
    select {columns}
    from usage_event u
    join charge c on c.occurred_at = u.occurred_at and c.event_id = u.event_id
    join workspace w on w.workspace_id = u.workspace_id
    left join application a on a.workspace_id = u.workspace_id and a.application_id = u.application_id
    left join api_key k on k.workspace_id = u.workspace_id and k.key_id = u.key_id
    left join sets p on p.price_ids = c.price_ids
    where {called} and {charged}
    order by u.occurred_at, u.event_id"""


def copying(scope: Scope, *, neutral: bool) -> sql.Composed:
    """Ask for the rows of a scope as CSV; `neutral` puts a quote before texts that look like formulas."""
    columns = [(_SAFE if neutral and is_text else _AS_IT_IS).format(value) for _, value, is_text in _COLUMNS]
    prices = [f"max(unit_price) filter (where meter = '{meter}') as {meter}" for meter in METERS]
    only = [_only(dimension, one) for dimension, one in scope.only.given.items()]
    rows = sql.SQL(_ROWS).format(
        columns=sql.SQL(", ".join(columns)),
        prices=sql.SQL(", ".join(prices)),
        meters=sql.Literal(list(METERS)),
        charged=_within("c", scope),
        called=sql.SQL(" and ").join([_within("u", scope), *only]),
    )
    return sql.SQL("copy ({}) to stdout (format csv)").format(rows)


def _within(table: str, scope: Scope) -> sql.Composed:
    span = "{0}.workspace_id = {1} and {0}.occurred_at >= {2} and {0}.occurred_at < {3}"
    values = [sql.Literal(value) for value in (scope.workspace_id, scope.start, scope.end)]
    return sql.SQL(span).format(sql.Identifier(table), *values)


def _only(dimension: str, one: UUID) -> sql.Composed:
    if dimension == "application" and one == NO_APPLICATION:
        return sql.Composed([sql.SQL("u.application_id is null")])
    return sql.SQL("u.{} = {}").format(sql.Identifier(f"{dimension}_id"), sql.Literal(one))
