"""Fixtures of the tests that one tenant's rows stay with it."""

from tests.billing.conftest import books, environment

__all__ = ["books", "environment"]
