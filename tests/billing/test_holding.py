"""An instant read under the lock parts what is in the ledger from what is still to come."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from app.billing import holding, jobs
from app.billing.events import PROVISIONAL
from app.billing.ingest import ingest
from app.extensions import transaction
from app.logging import audit, trail
from app.units import bucket_of, utc_now
from tests.billing.books import Books, call
from tests.gateway_process import eventually


@pytest.fixture
def reader(fresh_database: Any) -> Iterator[psycopg.Connection]:
    """Another connection as the worker's role."""
    with jobs.connect(fresh_database.ingest_url) as connection:
        yield connection


def begun(books: Books) -> Any:
    """A transaction that began before any lock was taken in it, as a slow process has one."""
    transaction = books.ingest.transaction()
    transaction.__enter__()
    books.ingest.execute("select now()")
    return transaction


def test_what_is_taken_after_an_instant_is_stamped_after_it_however_early_its_transaction_began(
    books: Books, reader: psycopg.Connection
) -> None:
    workspace_id = books.workspace()
    books.put(call(workspace_id))
    slow = begun(books)

    instant = holding.settled_until(reader, workspace_id)
    books.take()
    slow.__exit__(None, None, None)

    (row,) = books.rows()
    assert row["ingested_at"] > instant


def test_a_settled_call_is_stamped_when_it_replaces_a_provisional_one(books: Books, reader: psycopg.Connection) -> None:
    settled = call(books.workspace())
    guess = call(settled.workspace_id, event_id=settled.event_id, state=PROVISIONAL, outcome="unsettled")
    books.put(guess)
    books.take()
    books.put(settled)
    slow = begun(books)

    instant = holding.settled_until(reader, settled.workspace_id)
    books.take()
    slow.__exit__(None, None, None)

    (row,) = books.rows()
    assert ("settled", True) == (row["state"], row["ingested_at"] > instant)


def test_a_correction_by_a_late_call_is_stamped_after_it_too(books: Books, reader: psycopg.Connection) -> None:
    workspace_id = books.workspace()
    books.owner.execute(
        "insert into billing_period (workspace_id, month, timezone, starts_at, ends_at, state, closed_at)"
        " values (%s, '2026-10-01', 'UTC', '2026-10-01', '2026-11-01', 'closed', now())",
        [workspace_id],
    )
    books.put(call(workspace_id, at=datetime.fromisoformat("2026-10-15T12:00:00Z")))
    slow = begun(books)

    instant = holding.settled_until(reader, workspace_id)
    books.take()
    slow.__exit__(None, None, None)

    (row,) = books.sql("select created_at from correction")
    assert row["created_at"] > instant


def test_an_instant_waits_for_a_batch_that_is_being_written_and_has_it(
    books: Books, reader: psycopg.Connection
) -> None:
    workspace_id = books.workspace()
    books.put(call(workspace_id))
    found: list[datetime] = []
    taking = threading.Thread(target=books.take)
    asking = threading.Thread(target=lambda: found.append(holding.settled_until(reader, workspace_id)))

    with books.owner.transaction():
        books.owner.execute("lock table usage_event in share row exclusive mode")
        taking.start()
        eventually(lambda: _waits(books, "relation"))
        asking.start()
        eventually(lambda: _waits(books, "advisory"))
        assert [] == found
    taking.join()
    asking.join()

    assert [True] == [row["ingested_at"] <= found[0] for row in books.rows()]


@pytest.mark.usefixtures("app")
def test_an_audit_entry_is_stamped_when_it_is_numbered(books: Books, reader: psycopg.Connection) -> None:
    workspace_id = books.workspace()
    note_change(workspace_id)
    slow = begun(books)

    instant = holding.settled_until(reader, workspace_id)
    trail.take_all(books.ingest)
    slow.__exit__(None, None, None)

    (row,) = books.sql("select written_at from audit_event where workspace_id = %s", workspace_id)
    assert row["written_at"] > instant


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("earlier", [0, 1], ids=["first", "another"])
def test_an_instant_waits_for_entries_that_are_being_numbered_and_has_them(
    books: Books, reader: psycopg.Connection, earlier: int
) -> None:
    workspace_id = books.workspace()
    found: list[datetime] = []
    asking = threading.Thread(target=lambda: found.append(holding.settled_until(reader, workspace_id)))
    for _ in range(earlier):
        note_change(workspace_id)
        trail.take_all(books.ingest)
    note_change(workspace_id)

    with books.ingest.transaction():
        trail._lock(books.ingest, workspace_id)
        asking.start()
        eventually(lambda: _waits(books, "transactionid"))
        assert 1 == trail.take(books.ingest, workspace_id)
        assert [] == found
    asking.join()

    (row,) = books.sql("select max(written_at) as last from audit_event where workspace_id = %s", workspace_id)
    assert row["last"] < found[0]


def note_change(workspace_id: UUID) -> None:
    with transaction(workspace_id):
        audit.record("workspace.change", kind="workspace", id=workspace_id, name="w")


def test_an_instant_that_the_database_has_not_reached_is_waited_for(books: Books, reader: psycopg.Connection) -> None:
    workspace_id = books.workspace()
    as_of = utc_now() + timedelta(seconds=0.5)

    holding.wait_until_settled(reader, workspace_id, as_of)

    assert holding.settled_until(reader, workspace_id) >= as_of
    assert utc_now() >= as_of


def test_whoever_holds_a_ledger_learns_an_instant_after_all_of_it(app: Flask, books: Books) -> None:
    workspace_id = books.workspace()
    before = utc_now()
    books.put(call(workspace_id))

    assert app
    with transaction(workspace_id) as session:
        books.take()
        instant = holding.hold(session, workspace_id)
        assert None is ingest(bucket_of(workspace_id), database=books.ingest, redis=books.redis)

    (row,) = books.rows()
    assert before < row["ingested_at"] < instant


def _waits(books: Books, kind: str) -> bool:
    """A lock of that kind is waited for. A new transaction of its own sees it, this one old news: locks are no snapshot."""
    return bool(books.sql("select 1 from pg_locks where not granted and locktype = %s", kind))
