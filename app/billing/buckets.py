"""Buckets: the local hours, days or months of a question, by which its chart has bars."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from app.billing.figures import DAY, HOUR, MONTH
from app.billing.labels import Label
from app.billing.questions import PERIODS, Question
from app.units import local_hour_of, start_of_day

HOURLY_DAYS, DAILY_DAYS = 2, 92
QUARTER = timedelta(minutes=15)


def bucket_of(question: Question) -> str:
    """Choose how long the bars of the chart are."""
    if question.group in PERIODS:
        return question.group
    if question.interval:
        return question.interval
    if question.days <= HOURLY_DAYS:
        return HOUR
    return DAY if question.days <= DAILY_DAYS else MONTH


def starts_of(question: Question, bucket: str, zone: ZoneInfo) -> list[datetime]:
    """List the starts of the hours, days or months of a question; an hour that is lived twice is there twice.

    Where a zone moves by half an hour, what has no start of its own counts in the hour before.
    """
    days = [question.first + timedelta(days=number) for number in range(question.days)]
    if bucket == MONTH:
        days = [day for day in days if day.day == 1 or day == question.first]
    starts = [start_of_day(day, zone) for day in days]
    if bucket == HOUR:
        end = start_of_day(question.last + timedelta(days=1), zone)
        quarters = [starts[0] + number * QUARTER for number in range((end - starts[0]) // QUARTER)]
        starts = [quarter for quarter in quarters if local_hour_of(quarter, zone) == quarter]
    return sorted(set(starts))


def name_of(start: datetime, bucket: str, zone: ZoneInfo) -> Label:
    """Name an hour, a day or a month by its zone's calendar; an hour says by which offset it is meant."""
    shape = {HOUR: "%Y-%m-%d %H:%M %Z", DAY: "%Y-%m-%d", MONTH: "%Y-%m"}[bucket]
    return Label(name=start.astimezone(zone).strftime(shape))
