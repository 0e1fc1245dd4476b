"""Budgets under watch: their rows, what is spent of them, and a turn of the worker."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.billing import budget_watch
from app.billing.budget_watch import Outcome, Watch
from app.units import new_id
from tests.billing.books import NOON, Books, call

ONE_DOLLAR = {"input": 1_000_000}


def budget(books: Books, workspace_id: UUID, limit: str = "10", **columns: Any) -> UUID:
    """Make a budget of the whole workspace for a month, unless told otherwise."""
    row = {"workspace_id": workspace_id, "budget_id": new_id(), "name": f"b-{new_id()}", "scope": "workspace"}
    row |= {"period": "month", "limit_usd": Decimal(limit)} | columns
    places = ", ".join(["%s"] * len(row))
    books.owner.execute(f"insert into budget ({', '.join(row)}) values ({places})".encode(), list(row.values()))
    return row["budget_id"]


def channel(
    books: Books, workspace_id: UUID, name: str = "c", *, events: str = "{budget}", enabled: bool = True
) -> None:
    books.owner.execute(
        "insert into channel (workspace_id, channel_id, name, kind, target, events, enabled)"
        " values (%s, %s, %s, 'email', 'a@b.test', %s, %s)",
        [workspace_id, new_id(), name, events, enabled],
    )


def spend(books: Books, *workspaces: UUID, dollars: int = 1, at: datetime = NOON, **ids: Any) -> None:
    """Take calls of each workspace into the ledger that cost a dollar each."""
    model_id = ids.setdefault("model_id", new_id())
    if not books.sql("select 1 from price where subject_id = %s", model_id):
        books.price(model_id, input="1")
    books.put(*(call(one, at=at, meters=ONE_DOLLAR, **ids) for one in workspaces for _ in range(dollars)))
    books.take()


def turn(engine: Engine, *, at: datetime = NOON, watch: Watch | None = None, **options: Any) -> Outcome:
    with Session(engine) as session:
        return budget_watch.turn(session, watch or Watch(), at, **options)


def alerts(books: Books) -> list[tuple[int, Decimal]]:
    rows = books.sql("select threshold, spent from budget_alert order by period_start, threshold")
    return [(row["threshold"], row["spent"]) for row in rows]


def acting(books: Books) -> list[Any]:
    return books.sql(
        "select budget_id, acting_since, acting_until, acting_spent, revision from budget order by budget_id"
    )
