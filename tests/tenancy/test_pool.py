"""One database connection for two tenants: nothing of the one is left on it for the other, whatever fails between."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, func, select, text

from app.extensions import db
from tests import people
from tests.tenancy.tenant import make

PAGES = 500
EVERY = 10


class Failed(Exception):
    """What happens in the middle of a page."""


@dataclass
class Narrow:
    """The app with a pool of one connection; who waits for a second one fails at once.

    While `breaks` is set a page fails when it is half made: after it has read its rows.
    """

    app: Flask
    breaks: bool = False

    def fail(self) -> dict[str, Any]:
        if self.breaks:
            raise Failed
        return {}


@pytest.fixture
def narrow(app: Flask) -> Iterator[Narrow]:
    narrow = Narrow(app)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.context_processor(narrow.fail)
    wide = db.engines[None]
    db.engines[None] = create_engine(wide.url, pool_size=1, max_overflow=0, pool_timeout=0.2)
    yield narrow
    db.session.remove()
    db.engines[None].dispose()
    db.engines[None] = wide


@pytest.mark.parametrize("path", ["keys", "applications"])
def test_bc_101_two_tenants_in_turn_on_one_connection_never_see_each_other(narrow: Narrow, path: str) -> None:
    tenants = make(), make()
    clients = [people.member(tenant.workspace_id, "owner").client(narrow.app) for tenant in tenants]
    db.session.remove()

    seen = []
    for number in range(PAGES // 2):
        mine, theirs = tenants[number % 2], tenants[1 - number % 2]
        narrow.breaks = number % EVERY == EVERY - 1
        answer = clients[number % 2].get(f"/w/{mine.workspace_id}/{path}")
        page = answer.get_data(as_text=True)
        seen.append((answer.status_code, mine.word in page, theirs.word in page))

    assert {(200, True, False), (500, False, False)} == set(seen)
    assert PAGES // 2 // EVERY == seen.count((500, False, False))
    _assert_clean(db.engines[None])


def _assert_clean(engine: Engine) -> None:
    """The connection that all have used names no tenant, and shows no row of any."""
    tenant_tables = [
        table for table in db.metadata.tables.values() if "workspace_id" in table.c and table.name != "key_index"
    ]
    with engine.connect() as connection:
        assert "" == connection.scalar(text("select coalesce(current_setting('app.workspace_id', true), '')"))
        for table in tenant_tables:
            assert (table.name, 0) == (table.name, connection.scalar(select(func.count()).select_from(table)))
        assert len(tenant_tables) > 10
