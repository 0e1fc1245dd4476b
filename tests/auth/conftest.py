"""Fixtures of the tests of sign-in and roles."""

from uuid import UUID

import pytest
from flask import Flask

from app.workspace import workspaces
from tests import directory
from tests.factories import unique


@pytest.fixture
def acme(app: Flask) -> UUID:
    """A workspace."""
    assert app.testing
    return workspaces.create(unique("acme"))


@pytest.fixture
def entra(app: Flask) -> UUID:
    """A directory."""
    assert app.testing
    return directory.provider()
