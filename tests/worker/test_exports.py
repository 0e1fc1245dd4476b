"""Exports by the worker as it really runs: stopped in the middle of a file, they are made at its next start."""

import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from app.units import new_id, utc_now
from tests.billing.books import call
from tests.billing.exporting import what
from tests.gateway_process import eventually
from tests.worker.running import Running


@pytest.fixture
def running(fresh_database: Any, tmp_path: Path) -> Iterator[Running]:
    running = Running(fresh_database, tmp_path)
    yield running
    running.stop()


def order(running: Running, workspace_id: UUID) -> None:
    """Order an export from outside of the transaction that holds the lock."""
    values = [workspace_id, new_id(), Jsonb(what().stored()), utc_now()]
    running.books.ingest.execute(
        "insert into export_job (workspace_id, export_id, what, as_of) values (%s, %s, %s, %s)", values
    )


def state(running: Running) -> str:
    (row,) = running.books.sql("select state from export_job")
    return str(row["state"])


def is_writing(running: Running) -> bool:
    """The export has counted its rows, and its own connection waits for the lock. Asked by one who sees all connections."""
    asked = (
        "select (select rows_total from export_job) is not null and count(*) > 0 from pg_stat_activity"
        " where application_name = 'llm-gateway-export' and wait_event_type = 'Lock' and datname = current_database()"
    )
    with psycopg.connect(running.database.owner_url) as connection:
        row = connection.execute(asked).fetchone()
    return bool(row and row[0])


def files(running: Running) -> list[Path]:
    return [one for one in (running.folder / "home").rglob("*") if one.is_file()]


def test_a_stop_in_the_middle_of_a_file_leaves_nothing_and_the_next_start_makes_it(running: Running) -> None:
    books = running.books
    workspace_id = books.workspace()
    books.put(*(call(workspace_id) for _ in range(300)))
    running.drained(300)
    with books.owner.transaction():
        books.owner.execute("lock table api_key in access exclusive mode")
        order(running, workspace_id)
        eventually(lambda: is_writing(running), 20)
        running.process.send_signal(signal.SIGTERM)
        eventually(running.is_told_to_stop)
    assert 0 == running.process.wait(10)

    assert ("waiting", []) == (state(running), files(running))
    running.start()
    eventually(lambda: state(running) == "done", 20)
    (row,) = books.sql("select rows_done, file, sha256 from export_job")
    content = (running.folder / "home" / "exports" / row["file"]).read_bytes()
    assert (300, 301) == (row["rows_done"], content.count(b"\r\n"))
    assert hashlib.sha256(content).digest() == row["sha256"]


def test_a_cancelled_export_is_gone_from_the_disk_though_it_was_being_written(running: Running) -> None:
    books = running.books
    workspace_id = books.workspace()
    books.put(*(call(workspace_id) for _ in range(300)))
    running.drained(300)
    with books.owner.transaction():
        books.owner.execute("lock table api_key in access exclusive mode")
        order(running, workspace_id)
        eventually(lambda: is_writing(running), 20)
        assert 1 == len(files(running))
        books.ingest.execute("update export_job set state = 'cancelled'")

    eventually(lambda: not files(running), 20)
    eventually(lambda: not books.redis.keys("rq:job:*"), 20)
    assert ("cancelled", []) == (state(running), files(running))
