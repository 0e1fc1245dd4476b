"""Fixtures of the console's tests."""

from uuid import UUID

import pytest
from flask import Flask

from app.workspace import workspaces
from tests.billing.conftest import books
from tests.factories import unique

__all__ = ["books"]


@pytest.fixture
def acme(app: Flask) -> UUID:
    """A workspace."""
    assert app.testing
    return workspaces.create(unique("acme"))
