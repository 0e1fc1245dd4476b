from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.console import wording

NOW = datetime(2026, 7, 1, 12, 0, 5, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (None, "\u2013"),
        ("0", "$0.00"),
        ("1284.335", "$1,284.34"),
        ("1", "$1.00"),
        ("0.5", "$0.50"),
        ("0.0042", "$0.0042"),
        ("0.00317", "$0.00317"),
        ("0.000312", "$0.000312"),
        ("0.00000042", "<$0.000001"),
        ("-3.5", "\u2212$3.50"),
    ],
)
def test_money_shows_what_tells_it_apart_from_nothing(amount: str | None, written: str) -> None:
    assert written == wording.money(None if amount is None else Decimal(amount))


def test_exact_money_has_every_digit_and_no_exponent() -> None:
    assert wording.exact(Decimal("0.000000420000")) == "0.00000042 USD"
    assert wording.exact(Decimal("1200.000000000000")) == "1,200 USD"


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (None, "\u2013"),
        (0, "0"),
        (9_999, "9,999"),
        (12_345, "12.3k"),
        (999_499, "999k"),
        (999_999, "1M"),
        (48_211_093, "48.2M"),
        (3_000_000_000, "3B"),
        (1_234_567_000_000, "1,235B"),
    ],
)
def test_large_numbers_are_short(count: int | None, written: str) -> None:
    assert written == wording.compact(count)


def test_an_instant_is_written_in_the_zone_of_the_workspace_and_names_it() -> None:
    assert wording.local(NOW, "Europe/Vienna") == "2026-07-01 14:00 CEST"
    assert wording.local(NOW, "Asia/Kathmandu") == "2026-07-01 17:45 +0545"
    assert wording.utc(NOW) == "2026-07-01 12:00:05 UTC"
    assert wording.machine(NOW) == "2026-07-01T12:00:05.250Z"


@pytest.mark.parametrize(
    ("before", "written"),
    [
        (5, "just now"),
        (-30, "just now"),
        (120, "2 min ago"),
        (3_600, "1 h ago"),
        (200_000, "2 d ago"),
        (-7_200, "in 2 h"),
    ],
)
def test_a_distance_is_rough(before: int, written: str) -> None:
    assert written == wording.ago(NOW - timedelta(seconds=before), NOW)
