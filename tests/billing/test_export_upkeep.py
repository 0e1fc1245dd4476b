"""Schedules, links and the worker's turn: each file once, in its time, and gone after a week."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from app.billing import export_links, export_orders, export_schedules, export_upkeep, export_what, jobs
from app.extensions import LONG_QUEUE
from app.units import new_id, start_of_day, utc_now, zone
from app.workspace.names import Invalid
from tests.billing.books import call
from tests.billing.exporting import DAY, Desk, what

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


pytestmark = pytest.mark.usefixtures("app")


def queue_of(desk: Desk) -> Queue:
    return Queue(LONG_QUEUE, connection=desk.books.redis, serializer=JSONSerializer, job_class=jobs.OurJob)


def turn(desk: Desk, now: datetime) -> None:
    export_upkeep.turn(desk.books.ingest, queue_of(desk), desk.home, now=now)


def work(desk: Desk) -> None:
    """Have a real worker take what is in the queue."""
    options: dict[str, Any] = {"connection": desk.books.redis, "serializer": JSONSerializer, "job_class": jobs.OurJob}
    SimpleWorker([queue_of(desk)], **options).work(burst=True, logging_level="WARNING")


def schedule(workspace_id: UUID, every: str, now: datetime = NOW, **order: Any) -> UUID:
    return export_schedules.create(
        workspace_id, every, what(**order), every, schedule_id=new_id(), by=new_id(), now=now
    )


@pytest.mark.parametrize(
    ("every", "timezone", "expected"),
    [
        ("day", "UTC", "2026-11-26T01:00"),
        ("week", "UTC", "2026-11-30T01:00"),
        ("month", "UTC", "2026-12-01T01:00"),
        ("day", "Asia/Kathmandu", "2026-11-25T19:15"),
        ("month", "Pacific/Kiritimati", "2026-11-30T11:00"),
        ("month", "Etc/GMT+12", "2026-12-01T13:00"),
    ],
)
def test_an_export_is_made_an_hour_after_its_days_have_ended(every: str, timezone: str, expected: str) -> None:
    at = export_schedules.next_at(every, NOW, zone(timezone))

    assert datetime.fromisoformat(expected).replace(tzinfo=UTC) == at
    assert at < export_schedules.next_at(every, at, zone(timezone))


@pytest.mark.parametrize("every", export_what.EVERY)
@pytest.mark.parametrize(
    "timezone", ["Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Kiritimati"]
)
def test_schedules_take_each_day_of_a_year_once_whatever_the_clocks_do(every: str, timezone: str) -> None:
    in_zone, at, days = zone(timezone), datetime(2025, 12, 31, 12, tzinfo=UTC), []
    while at.year < 2027:
        at = export_schedules.next_at(every, at, in_zone)
        days += export_what.days(export_schedules.due(what(), every, at, in_zone))
        assert start_of_day(days[-1] + timedelta(days=1), in_zone) + export_schedules.PAUSE == at

    assert [days[0] + timedelta(days=number) for number in range(len(days))] == days
    assert 360 < len(days)


@pytest.mark.parametrize(
    ("every", "first", "last"),
    [("day", "2026-11-30", "2026-11-30"), ("week", "2026-11-24", "2026-11-30"), ("month", "2026-11-01", "2026-11-30")],
)
def test_it_holds_the_days_that_have_just_ended(every: str, first: str, last: str) -> None:
    made = export_schedules.due(what(), every, datetime(2026, 12, 1, 1, tzinfo=UTC), zone("UTC"))

    assert (first, last) == (made.first.isoformat(), made.last.isoformat())


def test_what_was_missed_is_made_up_for_each_once_however_often_one_looks(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    schedule_id = schedule(workspace_id, "day", kind="daily", format=export_what.JSONL)
    later = NOW + timedelta(days=3)

    for _ in range(5):
        export_upkeep.order_due(desk.books.ingest, now=later)

    found = export_orders.page(workspace_id).items
    assert ["2026-11-27", "2026-11-26", "2026-11-25"] == [one.what.first.isoformat() for one in found]
    assert {schedule_id} == {one.schedule_id for one in found}
    assert {("daily", "jsonl")} == {(one.what.kind, one.what.format) for one in found}


def test_a_paused_schedule_orders_nothing_and_makes_nothing_up(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    schedule_id = schedule(workspace_id, "day")
    export_schedules.set_enabled(workspace_id, schedule_id, False, now=NOW)
    assert 0 == export_upkeep.order_due(desk.books.ingest, now=NOW + timedelta(days=3))

    export_schedules.set_enabled(workspace_id, schedule_id, True, now=NOW + timedelta(days=3))

    assert 0 == export_upkeep.order_due(desk.books.ingest, now=NOW + timedelta(days=3))
    assert 1 == export_upkeep.order_due(desk.books.ingest, now=NOW + timedelta(days=4))


def test_names_of_schedules_are_used_once_and_the_same_form_twice_makes_one(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    first = schedule(workspace_id, "day")
    options: dict[str, Any] = {"by": new_id(), "now": NOW}

    export_schedules.create(workspace_id, "day", what(), "day", schedule_id=first, **options)
    with pytest.raises(Invalid):
        schedule(workspace_id, "day")

    assert [first] == [one.schedule_id for one in export_schedules.of(workspace_id)]


def test_the_worker_makes_what_waits_and_deletes_it_after_a_week(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    desk.books.put(call(workspace_id))
    desk.books.take()
    export_id = desk.order(workspace_id, what())

    for _ in range(3):
        turn(desk, NOW)
    assert [f"export-{export_id}"] == queue_of(desk).job_ids
    work(desk)
    export = export_orders.get(workspace_id, export_id)
    assert ("done", 1) == (export.state, len(desk.rows(export)))

    turn(desk, utc_now() + timedelta(days=6))
    assert export_orders.get(workspace_id, export_id).file
    turn(desk, utc_now() + timedelta(days=8))
    assert ("done", None) == (
        export_orders.get(workspace_id, export_id).state,
        export_orders.get(workspace_id, export_id).file,
    )
    assert [] == [one for one in desk.home.rglob("*") if one.is_file()]


def test_an_export_whose_job_is_gone_has_failed_and_says_so(desk: Desk) -> None:
    workspace_id = desk.books.workspace()
    export_id = desk.order(workspace_id, what())
    desk.books.owner.execute("update export_job set state = 'running'")
    left = [desk.home / "exports" / str(workspace_id) / f"{export_id}.csv{end}" for end in ("", ".part")]
    left[0].parent.mkdir(parents=True)
    for file in left:
        file.write_text("half of it")

    turn(desk, NOW)

    export = export_orders.get(workspace_id, export_id)
    assert ("failed", export_upkeep.LOST) == (export.state, export.problem)
    assert [] == list(left[0].parent.iterdir())


def test_a_link_opens_its_file_for_a_while_and_no_other(app: Flask) -> None:
    workspace_id, export_id, user_id = new_id(), new_id(), new_id()
    word = export_links.make(workspace_id, export_id, user_id, now=NOW)

    found = export_links.read(word, now=NOW + timedelta(minutes=14))

    assert app
    assert found
    assert (workspace_id, export_id, user_id) == (found.workspace_id, found.export_id, found.user_id)
    assert export_links.read(word, now=NOW + timedelta(minutes=15)) is None
    flipped = word[:60] + ("A" if word[60] != "A" else "B") + word[61:]
    for wrong in (flipped, word[:-4], "", "AAAA", "ä", word + "AAAA", "=" * 400):
        assert export_links.read(wrong, now=NOW) is None, wrong


def test_days_of_an_order_are_days(desk: Desk) -> None:
    assert desk
    focus = export_what.checked(what("focus", first=DAY, last=DAY))

    assert ("2026-11-01", "2026-11-30") == (focus.first.isoformat(), focus.last.isoformat())
