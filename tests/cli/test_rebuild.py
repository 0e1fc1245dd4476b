"""`flask rebuild`: every read model made again from the ledger, and the proof that it is the same byte for byte."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from app.billing import read_models
from app.billing.tables import ROLLUPS
from app.units import new_id
from tests.billing.books import Books, call, open_books

AT = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
"""Berlin lives this hour twice."""


@pytest.fixture
def books(fresh_database: Any, redis_url: str) -> Any:
    books = open_books(fresh_database, redis_url)
    yield books
    for client in (books.redis, books.owner, books.ingest):
        client.close()


def rebuild(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["rebuild", *arguments])


def filled(books: Books, timezone: str = "Europe/Berlin") -> Any:
    workspace_id, model_id = books.workspace(timezone), new_id()
    books.price(model_id, input="0.000001", output="0.333333")
    books.put(*(call(workspace_id, at=AT + timedelta(minutes=17 * n), model_id=model_id) for n in range(9)))
    books.put(call(workspace_id, at=AT), call(workspace_id, at=AT, state="provisional", outcome="unsettled"))
    books.take()
    return workspace_id


def name_of(books: Books, workspace_id: Any) -> str:
    (row,) = books.sql("select name from workspace where workspace_id = %s", workspace_id)
    return str(row["name"])


def test_what_ingest_made_is_made_again_byte_for_byte(app: Flask, books: Books) -> None:
    workspace_id = filled(books)
    before = read_models.digests(books.ingest, workspace_id)

    answer = rebuild(app, name_of(books, workspace_id), "--check")

    assert (0, before) == (answer.exit_code, read_models.digests(books.ingest, workspace_id))
    assert f"workspace {name_of(books, workspace_id)}: 11 calls, byte for byte as before" in answer.output
    assert all(f"{name} sha256 {digest}" in answer.output for name, digest in before.items())


@pytest.mark.parametrize("table", [table.name for table in ROLLUPS.values()])
def test_a_read_model_that_is_wrong_is_put_right_and_the_check_says_which(app: Flask, books: Books, table: str) -> None:
    workspace_id = filled(books)
    before = read_models.digests(books.ingest, workspace_id)
    books.owner.execute(f"update {table} set billed_cost = billed_cost + 0.000000000001".encode())

    answer = rebuild(app, name_of(books, workspace_id), "--check")

    assert (1, before) == (answer.exit_code, read_models.digests(books.ingest, workspace_id))
    assert f"not as before: {table}\n" in answer.output


def test_without_a_check_a_repair_is_no_failure(app: Flask, books: Books) -> None:
    workspace_id = filled(books)
    books.owner.execute("delete from rollup_day")

    answer = rebuild(app)

    assert 0 == answer.exit_code
    assert f"workspace {name_of(books, workspace_id)}: 11 calls, not as before: rollup_day" in answer.output
    assert books.rollups_from_rows() == books.rollups()


def test_without_a_name_all_workspaces_are_rebuilt(app: Flask, books: Books) -> None:
    places = [filled(books), filled(books, "Asia/Kathmandu")]
    for table in ROLLUPS.values():
        books.owner.execute(f"delete from {table.name}".encode())

    rebuild(app)

    assert set(places) == {key[0] for table in books.rollups().values() for key in table}
    assert books.rollups_from_rows() == books.rollups()


def test_a_name_that_there_is_not_is_said(app: Flask, books: Books) -> None:
    assert books

    answer = rebuild(app, "nowhere")

    assert 1 == answer.exit_code
    assert "there is no workspace 'nowhere'" in answer.output
