"""Closing beside others: a call is on the statement or in a correction, never in neither nor in both; one bill a month."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from flask import Flask

from app.billing import closing, periods
from app.billing.ingest import ingest
from app.billing.statements import Statement
from app.extensions import transaction
from app.units import bucket_of, new_id
from app.workspace.names import Invalid
from tests.billing.beside import Beside
from tests.billing.books import Books, call
from tests.gateway_process import eventually

SEPTEMBER = date(2026, 9, 1)
THEN = datetime(2026, 9, 15, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 10, 2, tzinfo=UTC)
COST = Decimal("0.00011")
CALLS = 40


@pytest.fixture
def drafted(app: Flask, books: Books) -> tuple[UUID, UUID]:
    """A workspace and its priced model: September is a draft."""
    assert app
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, input="1", output="1")
    closing.draft(workspace_id, SEPTEMBER, now=LATER)
    return workspace_id, model_id


def close(workspace_id: UUID) -> Statement:
    return closing.close(workspace_id, SEPTEMBER, now=LATER)


def split(books: Books, workspace_id: UUID) -> tuple[int, int]:
    """How many calls the statement has and how many the corrections; by the instants in the ledger, the same."""
    ((billed, corrected, before, after),) = (
        row.values()
        for row in books.sql(
            "select (select coalesce(sum(calls), 0) from statement_line where workspace_id = p.workspace_id) as billed,"
            " (select coalesce(sum(calls), 0) from correction where workspace_id = p.workspace_id) as corrected,"
            " (select count(*) from usage_event where workspace_id = p.workspace_id and ingested_at <= closed_at) as before,"
            " (select count(*) from usage_event where workspace_id = p.workspace_id and ingested_at > closed_at) as after"
            " from billing_period p where workspace_id = %s",
            workspace_id,
        )
    )
    assert (billed, corrected) == (before, after)
    return int(billed), int(corrected)


def test_a_close_waits_for_a_batch_that_is_being_written(app: Flask, books: Books, drafted: tuple[UUID, UUID]) -> None:
    workspace_id, model_id = drafted
    books.put(call(workspace_id, at=THEN, model_id=model_id))
    waits = "select 1 from pg_locks where locktype = 'advisory' and not granted"

    with books.ingest.transaction():
        ingest(bucket_of(workspace_id), database=books.ingest, redis=books.redis)
        closes = Beside(app, lambda: close(workspace_id))
        eventually(lambda: books.sql(waits))

    assert [COST] == [line.amount for line in closes.end().lines if line.kind == "usage"]
    assert (1, 0) == split(books, workspace_id)


def test_a_batch_that_comes_while_a_month_is_closed_is_corrected(books: Books, drafted: tuple[UUID, UUID]) -> None:
    workspace_id, model_id = drafted
    books.put(call(workspace_id, at=THEN, model_id=model_id))

    with transaction(workspace_id):
        issued = close(workspace_id)
        assert ingest(bucket_of(workspace_id), database=books.ingest, redis=books.redis) is None
    books.take()

    assert [] == [line for line in issued.lines if line.kind == "usage"]
    assert (0, 1) == split(books, workspace_id)


def test_calls_that_race_with_a_close_are_each_billed_once(
    app: Flask, books: Books, drafted: tuple[UUID, UUID]
) -> None:
    workspace_id, model_id = drafted

    def write() -> None:
        for number in range(CALLS):
            books.put(call(workspace_id, at=THEN + timedelta(seconds=number), model_id=model_id))
            while ingest(bucket_of(workspace_id), database=books.ingest, redis=books.redis) is None:
                pass

    writes = Beside(app, write)
    eventually(lambda: len(books.rows()) >= CALLS // 4)
    close(workspace_id)
    writes.end()

    billed, corrected = split(books, workspace_id)
    assert CALLS == billed + corrected
    assert billed >= CALLS // 4


def test_two_who_close_the_same_month_at_once_issue_one_statement(app: Flask, drafted: tuple[UUID, UUID]) -> None:
    workspace_id, _ = drafted

    found = [one.end() for one in [Beside(app, lambda: close(workspace_id)) for _ in range(4)]]

    assert 1 == sum(isinstance(one, Statement) for one in found)
    assert 3 == sum(isinstance(one, Invalid) and "is closed" in str(one) for one in found)
    assert "closed" == periods.get(workspace_id, SEPTEMBER).state


def test_workspaces_that_close_at_once_have_numbers_of_their_own(app: Flask, books: Books) -> None:
    workspaces = [books.workspace() for _ in range(6)]

    def issue(workspace_id: UUID) -> Statement:
        closing.draft(workspace_id, SEPTEMBER, now=LATER)
        return close(workspace_id)

    found = [one.end() for one in [Beside(app, lambda one=one: issue(one)) for one in workspaces]]  # type: ignore[misc]

    assert 6 == len({statement.number for statement in found})
    assert all(statement.number.endswith("-202609-1") for statement in found)
