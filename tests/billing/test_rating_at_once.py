"""Recomputes that people order at the same time."""

from flask import Flask

from app.billing import rating_runs
from app.units import new_id
from app.workspace.names import Invalid
from tests.billing.beside import Beside
from tests.billing.books import NOON, Books, call
from tests.billing.rerating import dry_run


def test_of_recomputes_that_are_applied_at_once_one_goes(app: Flask, books: Books) -> None:
    workspace_id = books.workspace()
    books.put(call(workspace_id, at=NOON))
    books.take()
    shown = [dry_run(books, workspace_id).run_id for _ in range(4)]

    applied = [Beside(app, lambda one=one: rating_runs.apply(workspace_id, one, run_id=new_id())) for one in shown]  # type: ignore[misc]
    found = [one.end() for one in applied]

    assert 3 == sum(isinstance(one, Invalid) for one in found)
    assert 1 == sum(one.kind == "apply" for one in rating_runs.listed(workspace_id))
