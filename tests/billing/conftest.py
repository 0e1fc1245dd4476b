"""Fixtures of the ledger's tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.billing.books import Books, open_books
from tests.billing.exporting import Desk


@pytest.fixture
def books(fresh_database: Any, redis_url: str) -> Iterator[Books]:
    """An empty ledger and empty streams."""
    books = open_books(fresh_database, redis_url)
    yield books
    for client in (books.redis, books.owner, books.ingest):
        client.close()


@pytest.fixture
def environment(fresh_database: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings as a job finds them."""
    monkeypatch.setenv("DATABASE_URL", fresh_database.app_url)
    monkeypatch.setenv("DATABASE_INGEST_URL", fresh_database.ingest_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("SECRET_KEY", "a-secret-for-tests-of-enough-length")


@pytest.fixture
def desk(app: Flask, books: Books, environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    """Where exports are ordered, made and fetched."""
    assert app
    assert environment is None
    monkeypatch.setenv("GATEWAY_HOME", str(tmp_path))
    monkeypatch.setenv("PUBLIC_URL", "https://gateway.example.test")
    return Desk(books, tmp_path)
