from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from app.extensions import transaction
from app.units import PLATFORM_ID


@pytest.fixture
def key_rows(app: Flask) -> Callable[[int], list[Any]]:
    """Read keys as the proxies do: those changed since a revision."""
    assert app.testing

    def read(known: int) -> list[Any]:
        with transaction(PLATFORM_ID) as session:
            return list(session.execute(text("select * from keys_since(:known)"), {"known": known}))

    return read
