"""The drain job: nothing depends on RQ remembering anything."""

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from app.billing import jobs
from app.billing.events import stream_key
from app.extensions import LEDGER_QUEUE
from app.units import bucket_of, bucket_tag
from app.worker.children import JobWorker
from tests.billing.books import Books, call


@pytest.fixture
def queue(books: Books) -> Queue:
    return Queue(LEDGER_QUEUE, connection=books.redis, serializer=JSONSerializer, job_class=jobs.OurJob)


def run(queue: Queue, worker_class: Any = JobWorker) -> None:
    """A real RQ worker until the queue is empty."""
    worker = worker_class([queue], connection=queue.connection, serializer=JSONSerializer, job_class=jobs.OurJob)
    worker.work(burst=True, logging_level="CRITICAL")


@pytest.mark.usefixtures("environment")
def test_one_job_drains_every_bucket_and_leaves_nothing_in_redis(books: Books, queue: Queue) -> None:
    books.put(*(call(books.workspace()) for _ in range(30)))

    assert jobs.enqueue(queue)
    run(queue)

    assert 30 == len(books.rows())
    assert [] == jobs.waiting(books.redis)
    assert [] == list(books.redis.scan_iter("rq:job:*"))
    assert books.rollups_from_rows() == books.rollups()


def test_a_job_is_enqueued_only_when_none_waits(books: Books, queue: Queue) -> None:
    assert [True, False, False] == [jobs.enqueue(queue) for _ in range(3)]

    assert 1 == books.redis.llen(queue.key)


def test_a_job_carries_no_payload(queue: Queue) -> None:
    jobs.enqueue(queue)

    (job,) = queue.jobs
    assert ("app.billing.jobs.drain", [], {}) == (job.func_name, job.args, job.kwargs)
    assert {"result_ttl": 0, "failure_ttl": 3600} == {"result_ttl": job.result_ttl, "failure_ttl": job.failure_ttl}


@pytest.mark.usefixtures("environment")
def test_two_drains_at_once_take_each_call_once(books: Books) -> None:
    workspaces = [books.workspace() for _ in range(8)]
    books.put(*(call(workspaces[number % 8]) for number in range(4000)))

    drains = [threading.Thread(target=jobs.drain) for _ in range(2)]
    for drain in drains:
        drain.start()
    for drain in drains:
        drain.join()

    assert 4000 == len(books.rows())
    assert books.rollups_from_rows() == books.rollups()


@pytest.mark.usefixtures("environment")
def test_a_bucket_that_fails_does_not_stop_the_others_and_shows(books: Books) -> None:
    good, bad = books.workspace(), books.workspace()
    while bucket_of(good) <= bucket_of(bad):
        good, bad = books.workspace(), books.workspace()
    books.put(call(good), call(bad))
    _refuse_charges_of(books, bad)

    with pytest.raises(psycopg.errors.RaiseException):
        jobs.drain()

    assert [good] == [row["workspace_id"] for row in books.rows()]
    assert [bucket_of(bad)] == jobs.waiting(books.redis)


@pytest.mark.usefixtures("environment")
def test_bc_121_failing_jobs_stay_few_and_nothing_is_lost(books: Books, queue: Queue) -> None:
    workspace_id = books.workspace()
    books.put(*(call(workspace_id, reported={"prompt": "x" * 10_000}) for _ in range(300)))
    books.owner.execute("revoke insert on charge from gateway_ingest")
    jobs.enqueue(queue)
    run(queue, SimpleWorker)
    before = books.redis.info("memory")["used_memory"]

    for _ in range(100):
        jobs.enqueue(queue)
        run(queue, SimpleWorker)
        jobs.forget_failures(queue)

    assert books.redis.info("memory")["used_memory"] - before < 2_000_000
    assert jobs.MOST_FAILED == queue.failed_job_registry.get_job_count(cleanup=False)
    assert jobs.MOST_FAILED == len(list(books.redis.scan_iter("rq:job:*")))
    assert jobs.MOST_FAILED == len(list(books.redis.scan_iter("rq:results:*")))
    books.owner.execute("grant insert on charge to gateway_ingest")
    jobs.drain()
    assert 300 == len(books.rows())
    assert books.rollups_from_rows() == books.rollups()


@pytest.mark.usefixtures("environment")
def test_the_last_failure_is_known(queue: Queue, books: Books) -> None:
    assert jobs.last_failure(queue) is None
    now = books.redis.time()[0]
    queue.enqueue("no.such.function", failure_ttl=jobs.FAILURE_TTL_S)

    run(queue)

    failed_at = jobs.last_failure(queue)
    assert failed_at is not None
    assert abs(failed_at - now) < 10


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("shape", ["pickle", "function", "callback"])
def test_bc_124_a_forged_job_runs_nothing(books: Books, queue: Queue, tmp_path: Path, shape: str) -> None:
    made = tmp_path / "made"
    jobs.enqueue(queue)
    key = Job.key_for(queue.job_ids[0])
    command = f"touch {made}"
    forged = {
        "pickle": {"data": pickle.dumps(_Touch(made)), "meta": b""},
        "function": {"data": JSONSerializer.dumps(["os.system", None, [command], {}])},
        "callback": {
            "data": JSONSerializer.dumps(["os.system", None, [command], {}]),
            "failure_callback_name": f"{__name__}.touched_by_callback",
        },
    }[shape]
    books.redis.hset(key, mapping=forged)
    Called.path = made

    run(queue)

    assert not made.exists()
    assert 1 == queue.failed_job_registry.get_job_count(cleanup=False)
    books.put(call(books.workspace()))
    jobs.enqueue(queue)
    run(queue)
    assert 1 == len(books.rows())


class Called:
    path = Path()


def touched_by_callback(*_args: Any) -> None:
    Called.path.touch()


def test_a_key_that_is_no_stream_hides_no_other(books: Books) -> None:
    workspace_id = books.workspace()
    other = (bucket_of(workspace_id) + 1) % 64
    books.redis.set(stream_key(bucket_tag(other)), "nonsense")
    books.put(call(workspace_id))

    assert [bucket_of(workspace_id)] == jobs.waiting(books.redis)


def _refuse_charges_of(books: Books, workspace_id: Any) -> None:
    """Have the database break for one workspace in a way that is no fault of the data."""
    books.owner.execute(
        f"""create function refuse() returns trigger language plpgsql as $$
            begin if new.workspace_id = '{workspace_id}' then raise exception 'broken'; end if; return new; end $$"""
    )
    books.owner.execute("create trigger refuse before insert on charge for each row execute function refuse()")
