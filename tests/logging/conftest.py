"""Fixtures of the audit trail's tests."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.logging.trail_books import Trail


@pytest.fixture
def trail_books(fresh_database: Any) -> Iterator[Trail]:
    books = Trail(fresh_database)
    yield books
    books.owner.close()


@pytest.fixture
def job_settings(fresh_database: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings as a job finds them."""
    monkeypatch.setenv("DATABASE_URL", fresh_database.app_url)
    monkeypatch.setenv("DATABASE_INGEST_URL", fresh_database.ingest_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("SECRET_KEY", "a-secret-for-tests-of-enough-length")
