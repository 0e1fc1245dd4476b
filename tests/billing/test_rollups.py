"""Rollups: by the workspace's own hours, and equal to the ledger."""

from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.billing.rollups import NO_APPLICATION, starts_of
from app.units import day_of, local_hour_of, start_of_day, zone
from tests.billing.books import Books, call

FIRST = datetime(2020, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


HOURS = [
    # The hour that Berlin lives twice: two hours, two rows.
    ("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z"),
    # The hour that it skips.
    ("Europe/Berlin", "2026-03-29T00:59:59.999Z", "2026-03-29T00:00:00Z"),
    ("Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z"),
    ("Asia/Kathmandu", "2026-11-10T12:10:00Z", "2026-11-10T11:15:00Z"),
    ("Asia/Kathmandu", "2026-11-10T12:15:00Z", "2026-11-10T12:15:00Z"),
    # Lord Howe moves by half an hour: its odd hour starts where its wall clock says.
    ("Australia/Lord_Howe", "2026-04-04T14:59:00Z", "2026-04-04T14:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:05:00Z", "2026-04-04T14:30:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:30:00Z", "2026-04-04T15:30:00Z"),
]


@pytest.mark.parametrize(("timezone", "instant", "hour"), HOURS)
def test_a_call_counts_in_its_workspaces_own_hour(books: Books, timezone: str, instant: str, hour: str) -> None:
    books.put(call(books.workspace(timezone), at=at(instant)))
    books.take()

    for table in books.rollups().keys() - {"rollup_day"}:
        assert [at(hour)] == [row["hour_start"] for row in books.sql(f"select hour_start from {table}")]


DAYS = [
    # Berlin's day of 25 hours, and the one of 23.
    ("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-24T22:00:00Z"),
    ("Europe/Berlin", "2026-10-25T22:59:59.999Z", "2026-10-24T22:00:00Z"),
    ("Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z"),
    ("Europe/Berlin", "2026-03-29T21:59:59.999Z", "2026-03-28T23:00:00Z"),
    ("Asia/Kathmandu", "2026-11-10T18:14:59.999Z", "2026-11-09T18:15:00Z"),
    ("Asia/Kathmandu", "2026-11-10T18:15:00Z", "2026-11-10T18:15:00Z"),
    # Beirut's clock goes from the end of a day to one in the morning: the day begins with the change.
    ("Asia/Beirut", "2026-03-28T22:00:00Z", "2026-03-28T22:00:00Z"),
    ("Asia/Beirut", "2026-03-28T21:59:59.999Z", "2026-03-27T22:00:00Z"),
]


@pytest.mark.parametrize(("timezone", "instant", "day"), DAYS)
def test_a_call_counts_in_its_workspaces_own_day(books: Books, timezone: str, instant: str, day: str) -> None:
    books.put(call(books.workspace(timezone), at=at(instant)))
    books.take()

    assert [at(day)] == [row["day_start"] for row in books.sql("select day_start from rollup_day")]


@given(
    name=st.sampled_from(sorted(available_timezones())),
    instant=st.integers(0, 16 * 366 * 86_400_000).map(lambda ms: FIRST + timedelta(milliseconds=ms)),
)
def test_the_remembered_starts_are_those_of_hour_and_day(name: str, instant: datetime) -> None:
    assert (local_hour_of(instant, zone(name)), day_of(instant, zone(name))) == starts_of(instant, zone(name))


def test_the_remembered_starts_are_right_around_every_change_of_every_zone() -> None:
    for name in sorted(available_timezones()):
        for change in _changes(name):
            for moment in range(-61, 62, 1):
                instant = change + timedelta(minutes=moment, milliseconds=1)
                in_zone = zone(name)
                expected = local_hour_of(instant, in_zone), day_of(instant, in_zone)
                assert expected == starts_of(instant, in_zone), (name, instant)
                tomorrow = instant.astimezone(in_zone).date() + timedelta(days=1)
                assert expected[1] <= instant < start_of_day(tomorrow, in_zone), (name, instant)


def test_a_call_without_application_counts_in_every_table(books: Books) -> None:
    books.put(call(books.workspace(), application_id=None))
    books.take()

    assert [NO_APPLICATION] == [key[2] for key in books.rollups()["rollup_hour_app"]]
    assert books.rollups_from_rows() == books.rollups()


def test_each_kind_of_call_is_counted(books: Books) -> None:
    workspace_id = books.workspace()
    books.put(
        call(workspace_id),
        call(workspace_id, outcome="upstream_error"),
        call(workspace_id, outcome="client_gone", usage_source="estimated"),
        call(workspace_id, state="provisional", outcome="unsettled", usage_source="estimated"),
        call(workspace_id, billable=False),
    )
    books.take()

    (counts,) = books.sql(
        "select sum(requests) as requests, sum(failed) as failed, sum(provisional) as provisional,"
        " sum(estimated) as estimated, sum(unpriced) as unpriced from rollup_hour_app"
    )
    assert {"requests": 5, "failed": 2, "provisional": 1, "estimated": 2, "unpriced": 4} == counts
    assert books.rollups_from_rows() == books.rollups()


def _changes(name: str) -> list[datetime]:
    """The instants, to the quarter-hour, at which a zone's offset changes from 2024 to 2027."""
    in_zone, found = zone(name), []
    day = datetime(2024, 1, 1, tzinfo=UTC)
    while day.year < 2028:
        following = day + timedelta(days=1)
        if day.astimezone(in_zone).utcoffset() != following.astimezone(in_zone).utcoffset():
            quarters = [day + timedelta(minutes=15 * number) for number in range(97)]
            offsets = [quarter.astimezone(in_zone).utcoffset() for quarter in quarters]
            found += [quarters[n] for n in range(1, 97) if offsets[n] != offsets[n - 1]]
        day = following
    return found
