"""Jobs have no tenant of their own: they touch the workspaces that need it, and say so when they cannot."""

import pytest
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from app.billing import jobs, rebuild
from app.extensions import LEDGER_QUEUE
from tests.billing.books import Books, call
from tests.billing.conftest import environment

__all__ = ["environment"]
ROLLUPS = "select coalesce(sum(requests), 0)::int as requests, min(xmin::text::int) as version from rollup_hour_key"


def figures(books: Books, workspace_id: object) -> tuple[int, int]:
    """A workspace's calls as its rollups have them, and the transaction that wrote them."""
    (row,) = books.sql(f"{ROLLUPS} where workspace_id = %s", workspace_id)
    return row["requests"], row["version"]


def work(queue: Queue) -> None:
    worker = SimpleWorker([queue], connection=queue.connection, serializer=JSONSerializer, job_class=jobs.OurJob)
    worker.work(burst=True, logging_level="CRITICAL")


@pytest.fixture
def queue(books: Books) -> Queue:
    return Queue(LEDGER_QUEUE, connection=books.redis, serializer=JSONSerializer, job_class=jobs.OurJob)


@pytest.mark.usefixtures("environment")
def test_bc_102_a_job_for_one_tenant_leaves_the_other_as_it_is(books: Books, queue: Queue) -> None:
    mine, theirs = books.workspace("UTC"), books.workspace("UTC")
    books.put(*(call(one) for one in (mine, mine, theirs)))
    books.take()
    before = {one: figures(books, one) for one in (mine, theirs)}
    books.move(mine, "Asia/Kolkata")

    assert jobs.enqueue(queue, jobs.rebuild_outdated)
    work(queue)

    assert before[theirs] == figures(books, theirs)
    assert before[mine][0] == figures(books, mine)[0] == 2
    assert before[mine][1] != figures(books, mine)[1]
    assert 0 == queue.failed_job_registry.get_job_count(cleanup=False)


@pytest.mark.usefixtures("environment")
def test_bc_102_a_job_without_a_tenant_fails_and_is_seen_to(books: Books, queue: Queue) -> None:
    mine = books.workspace("UTC")
    books.put(call(mine))
    books.take()
    before = figures(books, mine)

    queue.enqueue(rebuild.rebuild, None, failure_ttl=jobs.FAILURE_TTL_S)
    work(queue)

    assert ["app.billing.rebuild.rebuild"] == [one.function for one in jobs.failed(queue)]
    assert before == figures(books, mine)
