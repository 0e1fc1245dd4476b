"""Measure the console's pages over what `fill.py` made: server time and statements of each.

usage: with the environment of an installation that was filled: pages.py [ROUNDS]

Every page is opened by a member of the workspace with the most calls, in one process, without a network.
"""

import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sqlalchemy import event  # noqa: E402

from app import create_app  # noqa: E402
from app.extensions import db  # noqa: E402
from app.workspace import members  # noqa: E402
from tests import people  # noqa: E402

PAGES = (
    "",
    "usage",
    "usage?period=30d&group=application",
    "usage?period=30d&group=model&show=requests",
    "usage?period=30d&group=key",
    "usage?period=30d&group=day",
    "usage?period=last-month&group=key&show=tokens",
    "usage?period=today&group=key",
    "usage?period=7d&group=key&application={application}",
    "usage?period=30d&group=key&model={model}",
    "usage?period=30d&group=application&model={model}",
    "usage?period=30d&group=model&key={key}",
    "usage?period=today&group=model&application={application}",
    "usage?period=30d&group=model&and=application",
    "usage?period=30d&group=key&and=status&compare=before",
    "usage?period=30d&group=alias&and=provider&compare=before",
    "usage?period=30d&group=cost_centre&and=status",
    "usage?period=30d&group=tag:team&and=model",
    "usage?period=30d&group=member&and=model",
    "usage?period=30d&group=key&status=upstream_error",
    "usage?period=30d&group=day&provider=at+gpt-4o",
    "usage?period=7d&group=hour",
    "usage?period=7d&group=hour&application={application}",
    "keys",
    "keys?unused=30",
    "keys?q=key+19",
    "keys/{key}",
    "applications",
    "members",
    "models",
    "providers",
    "settings",
    "audit",
)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    workspace_id, ids = _busiest()
    app = create_app()
    with app.app_context():
        browser = _owner(workspace_id).client(app)
        print(f"{'page':<60} {'median':>7} {'p95':>7} ms  statements")
        for page in PAGES:
            path = f"/w/{workspace_id}/{page.format(**ids)}"
            browser.get(path)
            times_ms, statements = _measure(lambda path=path: browser.get(path), rounds)
            p95 = statistics.quantiles(times_ms, n=20)[-1]
            print(f"{page or 'overview':<60} {statistics.median(times_ms):7.1f} {p95:7.1f}     {statements}")


def _busiest() -> tuple[UUID, dict[str, UUID]]:
    """Find the workspace with the most calls, and its busiest application, model and key."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as connection:

        def most(column: str, of: str = "true") -> UUID:
            query = f"select {column} from rollup_day where {of} group by 1 order by sum(requests) desc limit 1"
            found = connection.execute(query.encode()).fetchone()
            assert found, "there are no calls: run fill.py"
            return UUID(str(found[0]))

        workspace_id = most("workspace_id")
        mine = f"workspace_id = '{workspace_id}'"
        return workspace_id, {name: most(f"{name}_id", mine) for name in ("application", "model", "key")}


def _owner(workspace_id: UUID) -> people.Person:
    """Sign in the workspace's owner, made by the first run."""
    found = members.of(workspace_id)
    return people.sign_in(found[0].user_id, "owner") if found else people.member(workspace_id, "owner")


def _measure(ask: object, rounds: int) -> tuple[list[float], int]:
    """Ask so often; give the times and the most statements that one answer took."""
    times_ms, most = [], 0
    for _ in range(rounds):
        with _counting() as statements:
            began = time.perf_counter()
            answer = ask()  # type: ignore[operator]
            times_ms.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.status
        most = max(most, len(statements))
    return times_ms, most


@contextmanager
def _counting() -> Iterator[list[str]]:
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", count)
    yield statements
    event.remove(db.engine, "before_cursor_execute", count)


if __name__ == "__main__":
    main()
