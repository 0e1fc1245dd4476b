import time
from datetime import timedelta

import psycopg
import pytest
from rq import SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from app.billing import jobs
from app.billing.events import encode, stream_key
from app.extensions import queue, redis
from app.logging import backlog
from app.units import bucket_of, bucket_tag, utc_now
from app.workspace import revisions, workspaces
from tests import people
from tests.billing.books import call
from tests.console import reading
from tests.factories import unique

HTMX = {"HX-Request": "true"}


@pytest.fixture
def operator(app):
    return people.person(platform_role="admin").client(app)


def test_depth_and_age_of_each_stream_are_shown(operator):
    acme, at = workspaces.create(unique("acme")), utc_now() - timedelta(minutes=5)
    tag = bucket_tag(bucket_of(acme))
    for number in range(3):
        entry = f"{int(at.timestamp() * 1000) + number}-0"
        redis().xadd(stream_key(tag), {"e": encode(call(acme, at=at))}, id=entry)

    page = reading.text(operator.get("/platform"))

    assert "Usage events waiting 3 oldest 5 min ago" in page
    assert f"{tag.strip('{}')} 3" in page


def test_an_empty_platform_says_that_nothing_waits_and_nothing_failed(operator):
    page = reading.text(operator.get("/platform"))

    assert "nothing waits" in page
    assert "All 64 streams are empty." in page
    assert "No job failed within the last hour." in page


def test_bc_123_a_missing_worker_is_said(operator):
    without = reading.text(operator.get("/platform"))
    redis().set(backlog.HEARTBEAT, int(time.time()))

    running = reading.text(operator.get("/platform"))

    assert "not running no heartbeat" in without
    assert "No worker is running." in without
    assert "running heartbeat just now" in running
    assert "No worker is running." not in running


def test_a_failed_job_is_shown_by_its_error_and_nothing_of_its_data(operator):
    _fail_one()

    page = operator.get("/platform")

    assert "app.billing.jobs.drain InvalidSettings" in reading.text(page)
    assert "is missing" not in reading.text(page)
    assert "Jobs failed 1" in reading.text(page)


def test_partitions_and_revisions_are_shown(operator):
    catalogue, keys = revisions.current()
    redis().set(revisions.REDIS_KEY, f"{catalogue}.{keys}")

    page = reading.text(operator.get("/platform"))

    month = utc_now().strftime("%Y%m")
    assert f"usage_event_{month}" in page
    assert f"charge_{month}" in page
    assert f"audit_event_{month}" in page
    assert f"Catalogue {catalogue} " in page
    assert "announced" in page


def test_the_figures_renew_themselves_as_a_fragment(operator):
    whole, piece = operator.get("/platform"), operator.get("/platform", headers=HTMX)

    assert [True, False] == [reading.is_whole_page(page) for page in (whole, piece)]
    (figures,) = [given for _, given in reading.attributes(piece) if given.get("id") == "figures"]
    assert ("/platform", "every 5s") == (figures["hx-get"], figures["hx-trigger"])


def test_without_redis_the_rest_of_the_page_stands(app, operator, servers):
    away = type(redis()).from_url("redis://127.0.0.1:1/0")
    before, app.extensions["redis"] = app.extensions["redis"], away
    try:
        page = operator.get("/platform")
    finally:
        app.extensions["redis"] = before
        away.close()

    assert servers
    assert 200 == page.status_code
    assert "Redis does not answer" in reading.text(page)
    assert f"usage_event_{utc_now():%Y%m}" in reading.text(page)


def test_the_auditor_looks_as_well(app):
    assert 200 == people.person(platform_role="auditor").client(app).get("/platform").status_code


def test_nobody_else_sees_it(app):
    acme = workspaces.create(unique("acme"))

    answers = [people.member(acme, role).client(app).get("/platform") for role in ("owner", "viewer")]
    answers.append(people.person().client(app).get("/platform"))

    assert [403, 403, 403] == [answer.status_code for answer in answers]
    assert not any("usage_event" in answer.get_data(as_text=True) for answer in answers)


def test_a_failed_job_that_was_deleted_meanwhile_is_left_out(operator):
    job_id = _fail_one()
    queue().connection.delete(Job.key_for(job_id))

    page = operator.get("/platform")

    assert 200 == page.status_code
    assert "Jobs failed 0" in reading.text(page)


def _fail_one():
    """Have a real worker work on a job that cannot succeed: there are no settings in its environment."""
    jobs.enqueue(queue())
    worker = SimpleWorker([queue()], connection=queue().connection, serializer=JSONSerializer)
    worker.work(burst=True, logging_level="CRITICAL")
    (failed,) = queue().failed_job_registry.get_job_ids()
    return failed


def test_events_that_could_not_be_billed_are_listed_with_their_reason(operator, fresh_database):
    assert "Every event could be billed." in reading.text(operator.get("/platform"))
    with psycopg.connect(fresh_database.owner_url, autocommit=True) as owner:
        owner.execute(
            "insert into ingest_reject (bucket, entry_id, payload, reason) values (7, '1-0', 'secret', '<b>broken</b>')"
        )

    answer = operator.get("/platform")

    assert "b07 1-0 <b>broken</b>" in reading.text(answer)
    assert "1 in all." in reading.text(answer)
    assert "secret" not in answer.text
    assert "<b>broken" not in answer.text
