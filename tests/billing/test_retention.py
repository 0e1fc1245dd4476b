"""What is past its retention goes, a little at a time; what is not, and what was added up from it, stays."""

import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from app.billing import jobs, rebuild, retention
from app.billing.retention import Retention, Sweep
from app.units import new_id, utc_now
from tests.billing.books import Books, call

NOW = utc_now()
KEPT = Retention(ledger_months=24, audit_months=24, details_days=90, rejects_days=365)


def ago(months: int) -> datetime:
    """Noon of the second day of a month that was so long ago."""
    return retention.months_before(NOW, months) + timedelta(days=1, hours=12)


def months_of(books: Books, table: str) -> set[str]:
    rows = books.sql("select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid")
    return {row["relname"] for row in rows if row["relname"].startswith(f"{table}_2")}


def sweep(books: Books, kept: Retention = KEPT) -> int:
    """Take every step there is; answers how many there were."""
    sweep, steps = Sweep(kept), 0
    while sweep.step(books.ingest, NOW):
        steps += 1
        assert steps < 1000
    return steps


def put(books: Books, *months: int, **changes: Any) -> None:
    workspace_id = books.workspace()
    books.put(*(call(workspace_id, at=ago(month), **changes) for month in months))
    books.take()


@pytest.mark.parametrize(
    ("now", "months", "first"),
    [
        ("2027-01-31T23:59:00Z", 24, "2025-01-01"),
        ("2027-01-31T23:59:00Z", 13, "2025-12-01"),
        ("2026-12-01T00:00:00Z", 12, "2025-12-01"),
        ("2026-12-31T20:00:00-05:00", 12, "2026-01-01"),
    ],
)
def test_whole_months_before_the_running_one_stay(now: str, months: int, first: str) -> None:
    start = retention.months_before(datetime.fromisoformat(now), months)

    assert datetime.fromisoformat(f"{first}T00:00:00Z") == start


def test_months_past_their_retention_go_as_partitions_and_their_sums_stay(books: Books) -> None:
    put(books, 26, 25, 24, 1)
    sums = books.rollups()

    sweep(books)

    assert [ago(24), ago(1)] == [row["occurred_at"] for row in books.rows()]
    assert min(months_of(books, "usage_event")) == f"usage_event_{ago(24):%Y%m}"
    assert min(months_of(books, "charge")) == f"charge_{ago(24):%Y%m}"
    assert min(months_of(books, "audit_event")) == f"audit_event_{ago(24):%Y%m}"
    assert sums == books.rollups()


def test_sums_of_dropped_months_outlive_a_rebuild(books: Books) -> None:
    put(books, 26, 25, 24, 1)
    sums = books.rollups()
    sweep(books)

    for (workspace_id,) in books.ingest.execute("select workspace_id from rollup_zone").fetchall():
        assert 2 == rebuild.rebuild(workspace_id, database=books.ingest)

    assert sums == books.rollups()


@pytest.mark.parametrize("zones", [("UTC", "Asia/Kathmandu"), ("Pacific/Kiritimati", "Etc/GMT+12")])
def test_a_workspace_that_moves_counts_each_call_once_where_its_ledger_begins(
    books: Books, zones: tuple[str, str]
) -> None:
    begins, model_id = retention.months_before(NOW, 24), new_id()
    workspace_id = books.workspace(zones[0])
    books.price(model_id, input="0.15", output="0.60")
    around = [begins + timedelta(minutes=20 * number) for number in range(-200, 200)]
    books.put(*(call(workspace_id, at=at, model_id=model_id) for at in around))
    books.take()
    before = total(books)
    sweep(books)

    for timezone in (zones[1], zones[0], zones[1]):
        books.move(workspace_id, timezone)
        rebuild.rebuild(workspace_id, database=books.ingest)
        assert before == total(books)
    assert all(row["least"] > 0 for row in books.sql("select min(requests) as least from rollup_day"))
    assert begins == retention.kept_since(books.ingest)


def total(books: Books) -> dict[str, tuple[Any, ...]]:
    """The sum of each rollup over all its rows."""
    return {name: tuple(map(sum, zip(*rows.values(), strict=True))) for name, rows in books.rollups().items()}


@pytest.mark.parametrize(("state", "dropped"), [("waiting", False), ("running", False), ("done", True)])
def test_no_month_goes_while_a_rating_run_goes_over_it(books: Books, state: str, dropped: bool) -> None:
    put(books, 26)
    (workspace,) = books.sql("select workspace_id from rollup_zone")
    books.owner.execute(
        "insert into rating_run (workspace_id, run_id, kind, state, since, until, reason)"
        " values (%s, %s, 'dry_run', %s, %s, now(), 'prices')",
        [workspace["workspace_id"], new_id(), state, ago(26)],
    )

    sweep(books)

    assert dropped == (not books.rows())
    assert dropped == (retention.kept_since(books.ingest) is not None)


def test_no_month_goes_while_its_sums_are_made_again(books: Books, fresh_database: Any) -> None:
    put(books, 26)
    (workspace,) = books.sql("select workspace_id from rollup_zone")

    with jobs.connect(fresh_database.ingest_url) as rebuilding, rebuilding.transaction():
        rebuild.rebuild(workspace["workspace_id"], database=rebuilding)
        started = utc_now()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            Sweep(KEPT).step(books.ingest, NOW)
        assert timedelta(seconds=10) > utc_now() - started

    sweep(books)
    assert [] == books.rows()


def test_a_legal_hold_keeps_the_ledger_and_the_trail(books: Books) -> None:
    put(books, 26)
    before = months_of(books, "audit_event")

    sweep(books, replace(KEPT, legal_hold=True))

    assert [ago(26)] == [row["occurred_at"] for row in books.rows()]
    assert before == months_of(books, "audit_event")
    assert f"audit_event_{ago(26):%Y%m}" in before


@pytest.mark.parametrize("table", ["usage_event", "charge", "audit_event"])
def test_nobody_drops_a_month_that_is_younger_than_a_year(books: Books, table: str) -> None:
    put(books, 14, 11)

    books.ingest.execute("select drop_months(%s, now() + interval '1 month')", [table])

    left = months_of(books, table)
    assert f"{table}_{ago(14):%Y%m}" not in left
    assert f"{table}_{ago(11):%Y%m}" in left


@pytest.mark.parametrize("table", ["price", "workspace", "usage_event_default"])
def test_nothing_but_months_can_be_dropped(books: Books, table: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException):
        books.ingest.execute("select drop_months(%s, now())", [table])


def test_old_details_are_forgotten_and_the_call_stays(books: Books) -> None:
    put(books, 6, 1, reported={"prompt_tokens": 10}, client_request_id="mine")
    put(books, 6, state="provisional", outcome="unsettled", client_request_id="mine")
    before = books.rows()

    sweep(books)

    old = [row for row in books.rows() if row["occurred_at"] == ago(6) and row["state"] == "settled"]
    assert [(None, None)] == [(row["reported"], row["client_request_id"]) for row in old]
    without = {"reported", "client_request_id"}
    assert ["mine"] == [row["client_request_id"] for row in books.rows() if row["state"] == "provisional"]
    assert [_but(row, without) for row in before] == [_but(row, without) for row in books.rows()]
    kept = [row for row in books.rows() if row["occurred_at"] == ago(1)]
    assert [({"prompt_tokens": 10}, "mine")] == [(row["reported"], row["client_request_id"]) for row in kept]
    assert 0 == sweep(books)


def _but(row: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def test_a_settled_call_can_forget_and_nothing_else(books: Books) -> None:
    put(books, 6, client_request_id="mine")

    for change in ("input = 1", "client_request_id = 'other'", "state = 'provisional'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only its details"):
            books.ingest.execute(f"update usage_event set {change}".encode())


def test_rejects_go_after_their_time(books: Books) -> None:
    for name, days in (("1-0", 400), ("2-0", 300)):
        books.owner.execute(
            "insert into ingest_reject (bucket, entry_id, payload, reason, rejected_at) values (1, %s, '', 'x', %s)",
            [name, NOW - timedelta(days=days)],
        )

    sweep(books)

    assert ["2-0"] == [row["entry_id"] for row in books.sql("select entry_id from ingest_reject")]


def test_bc_119_the_clean_up_goes_in_batches_while_calls_are_written(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGES_AT_ONCE", 8)
    workspace_id = books.workspace()
    old = [
        call(workspace_id, at=ago(6), reported={"prompt_tokens": n}, client_request_id="c" * 60) for n in range(4000)
    ]
    books.put(*old)
    books.take()
    sums, sweep, steps, took = books.rollups(), Sweep(KEPT), 0, 0.0

    tracemalloc.start()
    while sweep.step(books.ingest, NOW):
        started = utc_now()
        books.put(call(workspace_id, at=NOW.astimezone(UTC)))
        books.take()
        took = max(took, (utc_now() - started).total_seconds())
        steps += 1
    grew = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert steps > 10
    assert took < 2
    assert grew < 100_000_000
    assert not books.sql("select from usage_event where reported is not null and occurred_at < %s" % f"'{ago(5)}'")
    assert 4000 + steps == len(books.rows())
    assert sums.keys() == books.rollups().keys()
    assert books.rollups_from_rows() == books.rollups()
