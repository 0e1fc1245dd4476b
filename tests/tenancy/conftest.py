"""Fixtures of the tests that one tenant's rows stay with it."""

from tests.billing.conftest import books

__all__ = ["books"]
