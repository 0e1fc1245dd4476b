"""The rows of an export, part by part: what PostgreSQL is asked for, as CSV or JSON lines, and the sums that belong to them.

A part is a local day, or what a month adds to its days. Everything is cut at the export's `as_of`,
so that the same order gives the same bytes again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import sql

from app.billing import call_rows, export_what
from app.billing.export_columns import Column, neutral, selected
from app.billing.export_what import JSONL, SHEET, What
from app.billing.figures import Scope
from app.units import start_of_day
from app.wire.usage import METERS

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_INSTANT = "to_char({} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some rows of a file. `rows` selects the columns by name, in order; `breaks`: a cell may hold a line break.

    `counted` asks for how many they are and for the sums of columns where that is cheaper than by the rows themselves.
    `invoice` is the number of the statement that its rows belong to.
    """

    columns: Sequence[Column]
    rows: sql.Composed
    counted: sql.Composed | None = None
    breaks: bool = False
    invoice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a part is made for."""

    workspace_id: UUID
    what: What
    as_of: datetime
    zone: ZoneInfo


Parts = Callable[[Asked], Iterator[Part]]

DAILY_COLUMNS = (
    Column(name="day", value="{day}"),
    Column(name="workspace", value="w.name", text=True),
    Column(name="application", value="a.name", text=True),
    Column(name="cost_centre", value="a.cost_centre", text=True),
    Column(name="key", value="k.name", text=True),
    Column(name="key_prefix", value="k.prefix", text=True),
    Column(name="model_alias", value="u.alias", text=True),
    Column(name="deployment", value="u.upstream_model", text=True),
    Column(name="provider", value="u.provider", text=True),
    Column(name="requests", value="u.requests", sum=True),
    Column(name="failed", value="u.failed", sum=True),
    Column(name="unpriced", value="u.unpriced", sum=True),
    Column(name="provisional", value="u.provisional", sum=True),
    Column(name="estimated", value="u.estimated", sum=True),
    *(Column(name=f"{meter}_tokens", value=f"u.{meter}", sum=True) for meter in METERS),
    Column(name="list_cost", value="trim_scale(u.list_cost)", sum=True),
    Column(name="billed_cost", value="trim_scale(u.billed_cost)", sum=True),
    Column(name="currency", value="u.currency"),
    Column(name="application_id", value="u.application_id"),
    Column(name="key_id", value="u.key_id"),
    Column(name="model_id", value="u.model_id"),
)
_WHO = ("application_id", "key_id", "model_id", "alias", "upstream_model", "provider", "currency")
_DAILY = """
    with u as (
        select {who}, count(*) as requests,
            count(*) filter (where outcome not in ('done', 'unsettled')) as failed,
            count(*) filter (where billed_cost is null) as unpriced,
            count(*) filter (where state = 'provisional') as provisional,
            count(*) filter (where usage_source = 'estimated') as estimated,
            {meters}, sum(list_cost) as list_cost, sum(billed_cost) as billed_cost
        from usage_event join charge using (workspace_id, occurred_at, event_id)
        where workspace_id = {workspace} and occurred_at >= {start} and occurred_at < {end} and ingested_at <= {as_of}
        group by {who}
    )
    select {columns}
    from u
    join workspace w on w.workspace_id = {workspace}
    left join application a on a.workspace_id = {workspace} and a.application_id = u.application_id
    left join api_key k on k.workspace_id = {workspace} and k.key_id = u.key_id
    order by {ordered}"""

AUDIT_COLUMNS = (
    Column(name="seq", value="seq"),
    Column(name="occurred_at_utc", value=_INSTANT.format("occurred_at")),
    *(Column(name=name, value=name, text=True) for name in ("actor_kind", "actor_id", "actor_name", "actor_role")),
    *(Column(name=name, value=name, text=True) for name in ("action", "object_kind", "object_id", "object_name")),
    Column(name="outcome", value="outcome"),
    Column(name="reason", value="reason", text=True),
    Column(name="before", value="before"),
    Column(name="after", value="after"),
    *(Column(name=name, value=name, text=True) for name in ("ip", "user_agent", "request_id")),
    Column(name="audit_id", value="audit_id"),
)
_AUDIT = """
    select {columns} from audit_event
    where workspace_id = {workspace} and occurred_at >= {start} and occurred_at < {end} and written_at <= {as_of}
    order by seq"""


def calls(asked: Asked) -> Iterator[Part]:
    """Every call with what it was charged."""
    for _, scope in _days(asked):
        rows, counted = (ask(scope, as_of=asked.as_of) for ask in (call_rows.rows, call_rows.counted))
        yield Part(columns=call_rows.ALL, rows=rows, counted=counted)


def daily(asked: Asked) -> Iterator[Part]:
    """The sums of each day, application, key and model."""
    for day, scope in _days(asked):
        who = ", ".join(_WHO)
        meters = ", ".join(f"sum({meter}) as {meter}" for meter in METERS)
        text = _DAILY.replace("{who}", who).replace("{meters}", meters)
        ordered = sql.SQL(", ").join(sql.SQL("u.{}").format(sql.Identifier(name)) for name in _WHO)
        yield _part(text, DAILY_COLUMNS, asked, scope, day=sql.Literal(day), ordered=ordered)


def audit(asked: Asked) -> Iterator[Part]:
    """The entries of the audit trail that the worker has numbered."""
    for _, scope in _days(asked):
        yield _part(_AUDIT, AUDIT_COLUMNS, asked, scope, breaks=True)


def header(columns: Sequence[Column], form: str) -> bytes:
    """Write the first line: of CSV its columns, of JSON lines none."""
    if form == JSONL:
        return b""
    mark = BYTE_ORDER_MARK if form == SHEET else b""
    return mark + ",".join(one.name for one in columns).encode() + b"\r\n"


def copying(part: Part, form: str) -> sql.Composed:
    """Ask for the rows of a part as they stand in the file, each ended by a line feed."""
    if form == JSONL:
        # JSON holds no control character, so with such ones as quote and delimiter a row is its JSON and nothing else.
        text = "copy (select row_to_json(t) from ({}) t) to stdout (format csv, delimiter e'\\x02', quote e'\\x01')"
        return sql.SQL(text).format(part.rows)
    if form == SHEET:
        cells = sql.SQL(", ").join(map(neutral, part.columns))
        return sql.SQL("copy (select {} from ({}) t) to stdout (format csv)").format(cells, part.rows)
    return sql.SQL("copy ({}) to stdout (format csv)").format(part.rows)


def counting(part: Part) -> sql.Composed:
    """Ask how many rows a part has, and for the sums of its columns in their order."""
    if part.counted:
        return part.counted
    sums = [sql.SQL("coalesce(sum(t.{}), 0)").format(sql.Identifier(one.name)) for one in part.columns if one.sum]
    return sql.SQL("select {} from ({}) t").format(sql.SQL(", ").join([sql.SQL("count(*)"), *sums]), part.rows)


def _part(
    text: str, columns: Sequence[Column], asked: Asked, scope: Scope, *, breaks: bool = False, **values: sql.Composable
) -> Part:
    known = {
        "workspace": sql.Literal(asked.workspace_id),
        "start": sql.Literal(scope.start),
        "end": sql.Literal(scope.end),
        "as_of": sql.Literal(asked.as_of),
    } | values
    rows = sql.SQL(text).format(columns=selected(columns, **known), **known)
    return Part(columns=columns, rows=rows, breaks=breaks)


def _days(asked: Asked) -> Iterator[tuple[str, Scope]]:
    """Cut an order into the days of its zone."""
    for day in export_what.days(asked.what):
        start, end = start_of_day(day, asked.zone), start_of_day(day + timedelta(days=1), asked.zone)
        if start < min(end, asked.as_of):
            yield day.isoformat(), Scope(workspace_id=asked.workspace_id, start=start, end=end)
