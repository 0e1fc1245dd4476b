"""Changes of the price book: planned, from now on and back-dated, of each kind, without overlap and in open months only."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.extensions import transaction
from app.logging import entries
from app.model import adjustments, price_book, price_changes
from app.model.adjustments import Wanted
from app.model.price_book import Slot
from app.model.price_changes import Change
from app.model.prices import CONTRACT, LIST, PROVIDER_COST
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import revisions, workspaces
from app.workspace.names import Invalid, NotFound
from tests.factories import make_model, make_provider, unique

pytestmark = pytest.mark.usefixtures("app")

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
STANDARD = Slot()


@pytest.fixture
def acme():
    return workspaces.create(unique("acme"))


@pytest.fixture
def model_id(acme):
    return a_model(acme)


def a_model(workspace_id):
    provider_id = make_provider(workspace_id, "http://127.0.0.1:1/v1")
    return make_model(workspace_id, provider_id, unique("model"), price=None)


def change(workspace_id, model_id, price, since=None, *, slot=STANDARD, open_since=None, meter="input"):
    wanted = Change(
        subject_id=model_id,
        prices={meter: None if price is None else Decimal(price)},
        now=NOW,
        since=since,
        slot=slot,
    )
    return price_changes.change(workspace_id, wanted, open_since=open_since)


def history(workspace_id, model_id, kind=LIST):
    """Price, since and until of each row that counts at any time, the earliest first."""
    rows = [row for row in price_changes.history(workspace_id, model_id, [kind]) if not row.replaced]
    return [(f"{row.unit_price.normalize():f}", row.since, row.until) for row in reversed(rows)]


def test_a_first_price_counts_for_all_time_and_a_second_one_from_now(acme, model_id):
    assert ["input"] == change(acme, model_id, 1)
    assert ["input"] == change(acme, model_id, 2)

    assert [("1", None, NOW), ("2", NOW, None)] == history(acme, model_id)


def test_a_planned_price_waits_and_a_change_of_today_does_not_touch_it(acme, model_id):
    change(acme, model_id, 1)
    change(acme, model_id, 3, NOW + 30 * DAY)

    change(acme, model_id, 2)

    assert [("1", None, NOW), ("2", NOW, NOW + 30 * DAY), ("3", NOW + 30 * DAY, None)] == history(acme, model_id)


def test_setting_prices_the_short_way_leaves_a_planned_one_alone(acme, model_id):
    now = utc_now()
    price_book.set_prices(acme, model_id, {"input": Decimal(1)}, now=now - DAY)
    change(acme, model_id, 3, now + 30 * DAY)

    assert price_book.set_prices(acme, model_id, {"input": Decimal(2)}, now=now)
    assert not price_book.set_prices(acme, model_id, {"input": Decimal(2)}, now=now + DAY)

    assert [("1", None, now), ("2", now, now + 30 * DAY), ("3", now + 30 * DAY, None)] == history(acme, model_id)


def test_a_back_dated_price_ends_the_one_before_and_counts_until_the_next(acme, model_id):
    change(acme, model_id, 1)
    change(acme, model_id, 3, NOW)

    change(acme, model_id, 2, NOW - 10 * DAY)

    assert [("1", None, NOW - 10 * DAY), ("2", NOW - 10 * DAY, NOW), ("3", NOW, None)] == history(acme, model_id)


def test_a_price_from_the_very_same_time_replaces_the_wrong_one_which_stays_on_record(acme, model_id):
    change(acme, model_id, 1)
    change(acme, model_id, 30, NOW - DAY)

    change(acme, model_id, 3, NOW - DAY)

    assert [("1", None, NOW - DAY), ("3", NOW - DAY, None)] == history(acme, model_id)
    replaced = [row for row in price_changes.history(acme, model_id, [LIST]) if row.replaced]
    assert [Decimal(30)] == [row.unit_price for row in replaced]


def test_a_price_that_ends_leaves_calls_unpriced_from_then_on(acme, model_id):
    change(acme, model_id, 1)

    assert ["input"] == change(acme, model_id, None, NOW)
    assert [] == change(acme, model_id, None, NOW)

    assert [("1", None, NOW)] == history(acme, model_id)


def test_no_change_reaches_into_a_closed_month(acme, model_id):
    change(acme, model_id, 1)
    opened = datetime(2026, 11, 1, tzinfo=UTC)

    with pytest.raises(Invalid) as refused:
        change(acme, model_id, 2, opened - timedelta(seconds=1), open_since=opened)
    change(acme, model_id, 2, opened, open_since=opened)

    assert "since" == refused.value.field
    assert [("1", None, opened), ("2", opened, None)] == history(acme, model_id)


def test_each_kind_tier_and_length_has_a_line_of_its_own(acme):
    shared = a_model(PLATFORM_ID)
    change(PLATFORM_ID, shared, 3)
    change(PLATFORM_ID, shared, 2, slot=Slot(service_tier="batch"))
    change(PLATFORM_ID, shared, 6, slot=Slot(context_over=200_000))
    change(PLATFORM_ID, shared, 1, slot=Slot(PROVIDER_COST))

    change(acme, shared, "2.5", slot=Slot(CONTRACT))

    assert [("2.5", None, None)] == history(acme, shared, CONTRACT)
    assert ["2", "3", "6"] == sorted(price for price, _, _ in history(acme, shared))
    tiers = price_book.current_tiers(PLATFORM_ID)[shared]
    assert {Slot(), Slot(service_tier="batch"), Slot(context_over=200_000)} == set(tiers)
    assert {"input": Decimal(3)} == price_book.current(PLATFORM_ID)[shared]


def test_a_workspace_sets_no_list_price_for_the_platforms_model_and_none_for_nothing(acme):
    shared = a_model(PLATFORM_ID)

    for subject_id in (shared, new_id()):
        with pytest.raises(NotFound):
            change(acme, subject_id, 0)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("input", {"prices": {"input": Decimal("0.1234567")}}),
        ("hours", {"prices": {"hours": Decimal(1)}}),
        ("prices", {"prices": {}}),
        ("service_tier", {"slot": Slot(service_tier="slow")}),
        ("context_over", {"slot": Slot(context_over=10**10)}),
        ("note", {"note": "n" * 501}),
    ],
)
def test_what_the_book_cannot_hold_is_refused(acme, model_id, field, values):
    wanted = {"subject_id": model_id, "prices": {"input": Decimal(1)}, "now": NOW} | values

    with pytest.raises(Invalid) as refused:
        price_changes.change(acme, Change(**wanted), open_since=None)

    assert field == refused.value.field
    assert [] == history(acme, model_id)


def test_a_change_is_audited_and_reaches_the_proxies(acme, model_id):
    before = revisions.current()[0]

    change(acme, model_id, "0.25", NOW)

    assert before < revisions.current()[0]
    (newest,) = entries.listed(acme, entries.Wanted(), after=None, limit=1)
    assert "price.update" == newest.action


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 5)), st.integers(-5, 5)), min_size=1, max_size=8))
def test_however_prices_change_none_overlap_and_the_last_word_counts(acme, steps):
    model_id = a_model(acme)
    for price, day in steps:
        change(acme, model_id, price, NOW + day * DAY)

    rows = history(acme, model_id)
    assert all(until is not None and until <= since for (_, _, until), (_, since, _) in pairwise(rows))
    price, day = steps[-1]
    at = NOW + day * DAY
    counting = [found for found, since, until in rows if since <= at and (until is None or at < until)]
    assert ([] if price is None else [str(price)]) == counting


def test_an_adjustment_follows_the_one_before_and_may_be_back_dated_into_an_open_month(acme):
    opened = datetime(2026, 11, 1, tzinfo=UTC)

    assert adjustments.set_factor(acme, Wanted(factor=Decimal("0.9"), since=NOW), open_since=opened)
    assert adjustments.set_factor(acme, Wanted(factor=Decimal("0.8"), since=NOW - DAY), open_since=opened)
    assert not adjustments.set_factor(acme, Wanted(factor=Decimal("0.8"), since=NOW - DAY), open_since=opened)
    with pytest.raises(Invalid):
        adjustments.set_factor(acme, Wanted(factor=Decimal(1), since=opened - DAY), open_since=opened)

    rows = [(row.factor, row.since, row.until) for row in adjustments.history(acme)]
    assert [(Decimal("0.9"), NOW, None), (Decimal("0.8"), NOW - DAY, NOW)] == rows


@pytest.mark.parametrize("factor", ["-0.1", "100.1", "0.1234567", "NaN", "Infinity"])
def test_a_factor_that_cannot_be_is_refused(acme, factor):
    with pytest.raises(Invalid) as refused:
        adjustments.set_factor(acme, Wanted(factor=Decimal(factor), since=NOW), open_since=None)

    assert "factor" == refused.value.field
    with transaction(acme) as session:
        assert 0 == session.scalar(text("select count(*) from price_adjustment"))
