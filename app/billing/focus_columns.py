"""The columns of FOCUS: their names, types and meanings, and the SQL of each kind of row.

In the alphabet's order, our own (`x_`) last. FOCUS 1.2 names providers and publishers otherwise and has no InvoiceDetailId.
"""

from typing import NamedTuple

from app.billing.export_columns import Column
from app.billing.export_what import What

USAGE, ROUNDING, MONTH = "usage", "rounding", "month"
"""Rows of usage, of a day's rounding, and of what a month adds: corrections, credits, its statement's rounding."""
PROVIDER_COST = "x_ProviderCost"
"""What the provider takes: only in files for the platform's people."""
RENAMED: dict[str, dict[str, str | None]] = {
    "1.2": {"ServiceProviderName": "ProviderName", "HostProviderName": "PublisherName", "InvoiceDetailId": None},
    "1.4": {},
}
NULL, TEXT, NUMBER, INSTANT, JSON = "null", "String", "Decimal", "DateTime", "JSON"
_NOTHING, _UUID = "null::text", "null::uuid"
_METER = "initcap(replace(u.meter, '_', ' '))"
_UNIT = "case u.meter when 'request' then 'Requests' when 'image' then 'Images' else 'Tokens' end"
_CLASS = "case when u.kind = 'correction' then 'Correction' end"
_CATEGORY = "case u.kind when 'credit' then 'Credit' when 'correction' then 'Usage' else 'Adjustment' end"
_FREQUENCY = "case when u.kind in ('correction', 'settled') then 'Usage-Based' else 'One-Time' end"


class _Row(NamedTuple):
    """A column. `rounding` None: as for usage; `month` None: as for rounding."""

    name: str
    type: str
    usage: str
    rounding: str | None = None
    month: str | None = None
    text: bool = False
    sum: bool = False


def _time(value: str) -> str:
    return f"to_char(({value}) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"


def _cost(name: str, amount: str) -> _Row:
    usage, rounding = f"trim_scale(u.{amount}_amount)", f"trim_scale(r.{amount}_amount)"
    return _Row(name, NUMBER, usage, rounding, "trim_scale(u.amount)", sum=True)


_TAGS = (
    "nullif(coalesce(a.tags, '{{}}') || jsonb_strip_nulls(jsonb_build_object('llm-gateway/cost_centre', a.cost_centre)),"
    " '{{}}')"
)
_DETAILS = "jsonb_build_object('x_Model', u.upstream_model, 'x_Provider', u.provider, 'x_TokenType', u.meter, 'x_Tier', u.tier)"
_SKU = "concat_ws('/', coalesce(u.subject_id, u.deployment_id), u.meter, u.tier)"
_RESOURCE = "concat('llm-gateway/', w.workspace_id, '/deployments/', u.deployment_id)"
_LINE = "case when l.line is not null then concat({invoice}, '-', l.line) end"
_MONTH_LINE = "case when u.line is not null then concat({invoice}, '-', u.line) end"
_MONEY = "'USD'"

_ROWS = (
    _cost("BilledCost", "billed"),
    _Row("BillingAccountId", TEXT, "w.workspace_id"),
    _Row("BillingAccountName", TEXT, "w.name", text=True),
    _Row("BillingAccountType", TEXT, "'Workspace'"),
    _Row("BillingCurrency", TEXT, _MONEY),
    _Row("BillingPeriodEnd", INSTANT, _time("{period_end}")),
    _Row("BillingPeriodStart", INSTANT, _time("{period_start}")),
    _Row("ChargeCategory", TEXT, "'Usage'", "'Adjustment'", _CATEGORY),
    _Row("ChargeClass", TEXT, _NOTHING, None, _CLASS),
    _Row(
        "ChargeDescription",
        TEXT,
        f"concat({_METER}, ' of ', u.alias)",
        "'Rounding of single calls to 12 decimals'",
        "u.reason",
        text=True,
    ),
    _Row("ChargeFrequency", TEXT, "'Usage-Based'", None, _FREQUENCY),
    _Row(
        "ChargePeriodEnd", INSTANT, _time("{charge_end}"), _time("{day_end}"), _time("coalesce(u.end_at, {period_end})")
    ),
    _Row(
        "ChargePeriodStart",
        INSTANT,
        _time("u.start_at"),
        _time("{day_start}"),
        _time("coalesce(u.start_at, {period_start})"),
    ),
    _Row("ConsumedQuantity", NUMBER, "u.quantity", "null::numeric"),
    _Row("ConsumedUnit", TEXT, _UNIT, _NOTHING),
    _cost("ContractedCost", "billed"),
    _Row("ContractedUnitPrice", NUMBER, "trim_scale(u.billed_price)", "null::numeric"),
    _cost("EffectiveCost", "billed"),
    _Row("HostProviderName", TEXT, "u.provider", "{issuer}", text=True),
    _Row("InvoiceDetailId", TEXT, _LINE, _NOTHING, _MONTH_LINE),
    _Row("InvoiceId", TEXT, "{invoice}"),
    _Row("InvoiceIssuerName", TEXT, "{issuer}", text=True),
    _cost("ListCost", "list"),
    _Row("ListUnitPrice", NUMBER, "trim_scale(u.list_price)", "null::numeric"),
    _Row("PricingCategory", TEXT, "case when u.billed_price is not null then 'Standard' end", _NOTHING),
    _Row("PricingCurrency", TEXT, _MONEY),
    _Row("PricingQuantity", NUMBER, "case when u.billed_price is not null then u.quantity end", "null::numeric"),
    _Row("PricingUnit", TEXT, f"case when u.billed_price is not null then {_UNIT} end", _NOTHING),
    _Row("RegionId", TEXT, _NOTHING),
    _Row("RegionName", TEXT, _NOTHING),
    _Row("ResourceId", TEXT, _RESOURCE, _NOTHING),
    _Row("ResourceName", TEXT, "u.alias", _NOTHING, text=True),
    _Row("ResourceType", TEXT, "'Model Deployment'", _NOTHING),
    _Row("ServiceCategory", TEXT, "'AI and Machine Learning'"),
    _Row("ServiceName", TEXT, "'Language models'"),
    _Row("ServiceProviderName", TEXT, "u.provider", "{issuer}", text=True),
    _Row("ServiceSubcategory", TEXT, "'Generative AI'"),
    _Row("SkuId", TEXT, _SKU, _NOTHING),
    _Row("SkuMeter", TEXT, _METER, _NOTHING),
    _Row("SkuPriceDetails", JSON, _DETAILS, "null::jsonb"),
    _Row("SkuPriceId", TEXT, "u.price_id", _UUID),
    _Row("SubAccountId", TEXT, "u.application_id", _UUID, "u.application_id"),
    _Row("SubAccountName", TEXT, "a.name", _NOTHING, "a.name", text=True),
    _Row(
        "SubAccountType",
        TEXT,
        "case when u.application_id is not null then 'Application' end",
        _NOTHING,
        "case when u.application_id is not null then 'Application' end",
    ),
    _Row("Tags", JSON, _TAGS, "null::jsonb", _TAGS),
    _Row("x_CacheSavings", NUMBER, "trim_scale(u.saved)", "null::numeric", sum=True),
    _Row("x_CredentialId", TEXT, "u.key_id", _UUID),
    _Row("x_ErrorCount", NUMBER, "u.failed", "null::numeric"),
    _Row("x_PrincipalId", TEXT, "k.owner_id", _UUID),
    _Row(
        PROVIDER_COST,
        NUMBER,
        "trim_scale(u.provider_amount)",
        "trim_scale(r.provider_amount)",
        "null::numeric",
        sum=True,
    ),
    _Row("x_RatingRunId", TEXT, "u.run_id", _UUID, "u.run_id"),
    _Row("x_RequestCount", NUMBER, "u.calls", "null::numeric", "u.calls"),
    _Row("x_UnpricedCount", NUMBER, "u.unpriced", "null::numeric"),
    _Row("x_UsageSource", TEXT, "u.usage_source", _NOTHING),
)


def columns_of(kind: str, what: What) -> list[Column]:
    """List the columns of a kind of row, as an order's version of FOCUS names them."""
    found = [
        Column(name=name, value=_value(row, kind), text=row.text, sum=row.sum) for row, name in _named(what) if name
    ]
    return sorted(found, key=lambda one: (one.name.startswith("x_"), one.name))


def described(what: What) -> list[dict[str, object]]:
    """Describe the columns for the file's metadata."""
    types = {name: row.type for row, name in _named(what)}
    scale: dict[str, dict[str, object]] = {NUMBER: {"NumericPrecision": 48, "NumberScale": 24}}
    return [
        {"ColumnName": one.name, "DataType": types[one.name], **scale.get(types[one.name], {})}
        for one in columns_of(USAGE, what)
    ]


def _named(what: What) -> list[tuple[_Row, str | None]]:
    """Name the columns of an order; None: its version of FOCUS has no such column."""
    renamed = RENAMED[what.spec]
    return [(row, renamed.get(row.name, row.name)) for row in _ROWS if what.provider_cost or row.name != PROVIDER_COST]


def _value(row: _Row, kind: str) -> str:
    """Find a column's SQL for a kind of row: its own, else that of the kind before."""
    own = {USAGE: [], ROUNDING: [row.rounding], MONTH: [row.month, row.rounding]}[kind]
    return next((one for one in own if one), row.usage)
