"""Export jobs: files with every row, once, known by their checksum; cancelled, stopped, failed and made again."""

import json
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.application import applications
from app.billing import export_jobs, export_orders
from app.billing.export_what import AUDIT, DAILY, JSONL, SHEET
from app.logging import entries, trail
from app.units import new_id, utc_now
from app.workspace.names import Invalid
from tests.billing.books import NOON, call
from tests.billing.exporting import DAY, Desk, what
from tests.gateway_process import eventually

COLUMNS = """
    select attname as name from pg_attribute where attrelid = 'usage_event'::regclass and attnum > 0 and not attisdropped"""
LAST_DAYS = {"first": utc_now().date() - timedelta(days=1), "last": utc_now().date() + timedelta(days=1)}


pytestmark = pytest.mark.usefixtures("app")


def once_counted(desk: Desk, statement: str) -> None:
    """Have something happen in the database as soon as an export has counted its rows."""
    body = "create function at_count() returns trigger language plpgsql security definer as 'begin {}; return new; end'"
    desk.books.owner.execute(body.format(statement.replace("'", "''")).encode())
    desk.books.owner.execute(
        "create trigger at_count before update on export_job for each row"
        " when (old.rows_total is null and new.rows_total is not null) execute function at_count()"
    )


def waiting(outside: psycopg.Connection[Any], kind: str) -> bool:
    """Whether somebody waits for a lock of a kind. Asked from outside of the transaction that holds it."""
    asked = "select count(*) from pg_locks where not granted and locktype = %s"
    row = outside.execute(asked, [kind]).fetchone()
    return bool(row and row[0])


def many(desk: Desk, workspace_id: UUID, count: int) -> None:
    """Put calls of one day into the ledger at once, as they would be there."""
    desk.books.put(call(workspace_id))
    desk.books.take()
    names = [row["name"] for row in desk.books.sql(COLUMNS)]
    new = {"event_id": "gen_random_uuid()", "occurred_at": "u.occurred_at + n * interval '1 millisecond'"}
    values = ", ".join(new.get(name, f"u.{name}") for name in names)
    made = f"select {values} from usage_event u, generate_series(1, {count - 1}) n"
    desk.books.owner.execute(f"insert into usage_event ({', '.join(names)}) {made}".encode())
    desk.books.owner.execute(
        "insert into charge (workspace_id, occurred_at, event_id, price_ids) select workspace_id, occurred_at, event_id, '{}'"
        " from usage_event on conflict do nothing"
    )


def test_a_file_holds_every_call_and_its_manifest_proves_it(desk: Desk) -> None:
    workspace_id, model_id = desk.books.workspace(), new_id()
    desk.books.price(model_id, input="0.15", output="0.60")
    desk.books.put(*(call(workspace_id, model_id=model_id, at=NOON + timedelta(seconds=n)) for n in range(700)))
    desk.books.put(call(desk.books.workspace()), call(workspace_id, at=NOON + timedelta(days=1)))
    desk.books.take()

    export = desk.make(workspace_id, what())

    rows, manifest = desk.rows(export), export.manifest
    assert ("done", 700, 700) == (export.state, len(rows), len({row["request_id"] for row in rows}))
    assert manifest
    assert [700, 700, 100] == [manifest["rows"], export.rows_done, export.percent]
    assert sum(Decimal(row["billed_cost"]) for row in rows) == Decimal(manifest["sums"]["billed_cost"])
    assert "70000" == manifest["sums"]["output_tokens"]
    assert sha256(desk.bytes(export)).hexdigest() == manifest["sha256"] == (export.sha256 or b"").hex()
    beside = json.loads((desk.home / "exports" / f"{export.file}.manifest.json").read_text())
    assert manifest == beside


@pytest.mark.parametrize("kind", ["calls", "daily", "focus"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_same_order_gives_the_same_bytes_again_whatever_came_since(desk: Desk, kind: str, packed: bool) -> None:
    workspace_id = desk.books.workspace("Asia/Kathmandu")
    desk.books.put(*(call(workspace_id, at=NOON + timedelta(minutes=n)) for n in range(90)))
    desk.books.take()
    as_of = utc_now()
    order = what(kind, gzip=packed)

    first = desk.make(workspace_id, order, as_of=as_of)
    desk.books.put(call(workspace_id))
    desk.books.take()
    again = desk.make(workspace_id, order, as_of=as_of)

    assert desk.bytes(first) == desk.bytes(again)
    assert first.rows_done > 0


def test_calls_that_were_being_written_at_its_as_of_are_in_the_file_and_in_the_next_one(
    desk: Desk, fresh_database: Any
) -> None:
    books, workspace_id = desk.books, desk.books.workspace()
    books.put(call(workspace_id))
    outside = psycopg.connect(fresh_database.owner_url, autocommit=True)
    with outside, ThreadPoolExecutor(2) as threads, books.owner.transaction():
        books.owner.execute("lock table rollup_day in share row exclusive mode")
        ingest = threads.submit(books.take)
        eventually(lambda: waiting(outside, "relation") or ingest.done())
        as_of = utc_now()
        export_id = desk.order(workspace_id, what(), as_of=as_of)
        export = threads.submit(export_jobs.run, str(export_id))
        eventually(lambda: waiting(outside, "advisory") or export.done())
    first, again = export_orders.get(workspace_id, export_id), desk.make(workspace_id, what(), as_of=as_of)

    assert [1, 1] == [len(desk.rows(one)) for one in (first, again)]
    assert desk.bytes(first) == desk.bytes(again)


def test_memory_stays_flat_however_long_the_file_is(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    many(desk, workspace_id, 30_000)
    export_id = desk.order(workspace_id, what())

    tracemalloc.start()
    export_jobs.run(str(export_id))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    export = export_orders.get(workspace_id, export_id)
    assert export.size_bytes
    assert 30_000 == export.rows_done
    assert export.size_bytes > 5_000_000
    assert peak < 1_500_000


@pytest.mark.parametrize("form", ["csv-machine", "csv-spreadsheet", "jsonl"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_says_the_same(desk: Desk, form: str, packed: bool) -> None:
    workspace_id, model_id = desk.books.workspace(), new_id()
    desk.books.price(model_id, input="0.000001", output="0.60")
    desk.books.put(call(workspace_id, model_id=model_id, alias='a "b", \\ 😀', client_request_id="c"))
    desk.books.take()

    export = desk.make(workspace_id, what(format=form, gzip=packed))

    (row,) = desk.rows(export)
    assert ('a "b", \\ 😀', "10") == (row["model_alias"], str(row["input_tokens"]))
    assert Decimal("0.00006000001") == Decimal(row["billed_cost"])
    assert (form == SHEET, packed) == (desk.bytes(export).startswith(b"\xef\xbb\xbf"), False) or packed
    assert export.filename.endswith((".jsonl" if form == JSONL else ".csv") + (".gz" if packed else ""))


@pytest.mark.parametrize("alias", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_a_spreadsheet_runs_nothing_and_programs_get_the_text_itself(desk: Desk, alias: str) -> None:
    workspace_id = desk.books.workspace()
    desk.books.put(call(workspace_id, alias=alias))
    desk.books.take()

    for kind in ("calls", "daily"):
        texts = [
            desk.rows(desk.make(workspace_id, what(kind, format=form)))[0]["model_alias"] for form in (SHEET, "jsonl")
        ]
        assert [f"'{alias}", alias] == texts


def test_daily_usage_adds_up_to_the_calls_in_days_of_the_zone(desk: Desk) -> None:
    workspace_id, model_id, key_id = desk.books.workspace("Pacific/Kiritimati"), new_id(), new_id()
    desk.books.price(model_id, input="0.15", output="0.60")
    who = {"model_id": model_id, "key_id": key_id, "application_id": None}
    late = [call(workspace_id, at=NOON + timedelta(hours=n), **who) for n in range(-2, 4)]
    desk.books.put(*late, call(workspace_id, outcome="upstream_error", billable=False, **who), call(workspace_id))
    desk.books.take()
    span = {"first": DAY, "last": DAY + timedelta(days=2)}

    daily, calls = (desk.rows(desk.make(workspace_id, what(kind, **span))) for kind in (DAILY, "calls"))

    mine = [(row["day"], row["requests"], row["failed"]) for row in daily if row["key_id"] == str(key_id)]
    assert [("2026-11-11", "7", "1")] == mine
    assert len(calls) == sum(int(row["requests"]) for row in daily)
    costs = [sum(Decimal(row["billed_cost"] or 0) for row in rows) for rows in (daily, calls)]
    assert costs[0] == costs[1] > 0
    assert 1 == sum(int(row["unpriced"]) for row in daily)


def test_the_audit_trail_can_be_taken_away_line_breaks_and_all(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    for name in ("first", "second"):
        applications.create(workspace_id, name, cost_centre="one")
    desk.books.sql("update audit_outbox set reason = E'a\\nb' returning 1")
    trail.take_all(desk.books.ingest)

    export = desk.make(workspace_id, what(AUDIT, **LAST_DAYS), as_of=utc_now())

    rows = desk.rows(export)
    assert [("1", "application.create", "first"), ("2", "application.create", "second")] == [
        (row["seq"], row["action"], row["object_name"]) for row in rows
    ]
    assert {"a\nb"} == {row["reason"] for row in rows}
    assert 3 == desk.bytes(export).count(b"\r\n")
    assert '"cost_centre": "one"' in rows[0]["after"]


def test_no_row_of_another_workspace_gets_into_a_file(desk: Desk) -> None:
    mine, theirs = desk.books.workspace(), desk.books.workspace()
    desk.books.put(call(theirs))
    desk.books.take()

    assert [[], [], []] == [desk.rows(desk.make(mine, what(kind))) for kind in ("calls", "daily", "focus")]


def test_a_cancelled_export_leaves_no_file(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    desk.books.put(*(call(workspace_id) for _ in range(600)))
    desk.books.take()
    once_counted(desk, "new.state := 'cancelled'")
    export_id = desk.order(workspace_id, what())

    export_jobs.run(str(export_id))

    assert "cancelled" == export_orders.get(workspace_id, export_id).state
    assert [] == [one for one in desk.home.rglob("*") if one.is_file()]
    with pytest.raises(Invalid):
        export_orders.cancel(workspace_id, export_id)


def test_an_export_that_was_cancelled_while_it_waited_is_never_made(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    export_id = desk.order(workspace_id, what())
    export_orders.cancel(workspace_id, export_id)

    export_jobs.run(str(export_id))

    assert ("cancelled", None) == (
        export_orders.get(workspace_id, export_id).state,
        export_orders.get(workspace_id, export_id).file,
    )


def test_what_fails_says_so_and_raises(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    export_id = desk.order(workspace_id, what())
    (desk.home / "exports").write_text("in the way")

    with pytest.raises(OSError):
        export_jobs.run(str(export_id))

    export = export_orders.get(workspace_id, export_id)
    assert ("failed", export_jobs.NOT_MADE) == (export.state, export.problem)


def test_a_lost_connection_leaves_no_shorter_file(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    desk.books.put(*(call(workspace_id) for _ in range(600)))
    desk.books.take()
    once_counted(
        desk,
        "perform pg_terminate_backend(pid) from pg_stat_activity where application_name = 'llm-gateway-export'",
    )
    export_id = desk.order(workspace_id, what())

    with pytest.raises(psycopg.OperationalError):
        export_jobs.run(str(export_id))

    export = export_orders.get(workspace_id, export_id)
    assert ("failed", export_jobs.CUT_OFF) == (export.state, export.problem)
    assert [] == [one for one in desk.home.rglob("*") if one.is_file()]


def test_an_order_and_its_end_are_in_the_audit_trail(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    export_id = desk.order(workspace_id, what())
    export_orders.cancel(workspace_id, export_id)

    found = entries.listed(workspace_id, entries.Wanted(), after=None, limit=9)
    assert ["export.cancel", "export.create"] == [one.action for one in found]
    assert {str(export_id)} == {one.object_id for one in found}


def test_a_workspace_orders_only_so_many_at_once(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    for _ in range(export_orders.MOST_UNDER_WAY):
        desk.order(workspace_id, what())

    with pytest.raises(Invalid):
        desk.order(workspace_id, what())


@pytest.mark.parametrize(
    "order",
    [
        what("focus", format=SHEET),
        what("secrets"),
        what(format="xlsx"),
        what(first=DAY, last=DAY - timedelta(days=1)),
        what(first=DAY, last=DAY + timedelta(days=800)),
        what("focus", spec="1.1"),
        what("focus", grain="minute"),
    ],
)
def test_orders_that_cannot_be_carried_out_are_refused(desk: Desk, order: Any) -> None:
    with pytest.raises(Invalid):
        desk.order(desk.books.workspace(), order)
