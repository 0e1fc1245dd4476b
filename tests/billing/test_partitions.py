"""Months have partitions before they begin; rows of one that has none are named, and can be moved."""

import re
from datetime import UTC, datetime

import pytest
from flask import Flask

from app.billing import partitions, retention
from app.units import utc_now
from tests import people
from tests.billing.books import Books, call
from tests.console import reading
from tests.gateway_process import ROOT

NOW = utc_now()
FEBRUARY = datetime(2024, 2, 29, 23, 59, tzinfo=UTC)


def months_of(books: Books, table: str) -> set[str]:
    rows = books.sql("select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid")
    return {row["relname"] for row in rows if row["relname"].startswith(f"{table}_2")}


@pytest.fixture
def strays(books: Books) -> Books:
    """A ledger with a call whose month could have no partition."""
    books.owner.execute("revoke execute on function ensure_partitions from gateway_ingest")
    books.put(call(books.workspace(), at=FEBRUARY))
    books.take()
    books.owner.execute("grant execute on function ensure_partitions to gateway_ingest")
    return books


def test_the_running_month_and_three_more_have_partitions(books: Books) -> None:
    ahead = {f"{retention.months_before(NOW, -number):%Y%m}" for number in range(4)}
    for table in ("usage_event", "charge", "audit_event"):
        books.owner.execute(f"drop table {table}_{max(ahead)}".encode())

    assert 3 == partitions.ensure_ahead(books.ingest, NOW)
    assert 0 == partitions.ensure_ahead(books.ingest, NOW)

    for table in ("usage_event", "charge", "audit_event"):
        assert {f"{table}_{month}" for month in ahead} <= months_of(books, table)


def test_a_default_partition_with_rows_is_named(strays: Books) -> None:
    assert ["charge_default", "usage_event_default"] == partitions.strays(strays.ingest)


def test_no_default_partition_is_named_while_all_have_their_own(books: Books) -> None:
    books.put(call(books.workspace()))
    books.take()

    assert [] == partitions.strays(books.ingest)


def test_the_platforms_page_raises_the_alarm(app: Flask, strays: Books) -> None:
    assert strays.rows()
    page = reading.text(people.person(platform_role="admin").client(app).get("/platform"))

    assert "usage_event_default holds rows" in page
    assert "audit_event_default holds rows" not in page


def test_the_guide_says_how_to_move_them(strays: Books) -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    statements = re.findall(r"```sql\n(.*?)```", guide, re.DOTALL)[0].replace("2027-02-01", "2024-02-01")
    before, sums = strays.rows(), strays.rollups()

    for statement in re.sub(r"--.*", "", statements).split(";")[:-1]:
        strays.owner.execute(statement.encode())

    assert [] == partitions.strays(strays.ingest)
    assert {"usage_event_202402"} == {
        row["name"] for row in strays.sql("select tableoid::regclass::text as name from usage_event")
    }
    assert (before, sums) == (strays.rows(), strays.rollups())
